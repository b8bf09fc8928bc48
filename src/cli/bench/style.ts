// The look of the page, light and dark. Contenders have the hues of Okabe and Ito (2008), which people with any kind of colour vision tell apart.
export const STYLE = `
:root{color-scheme:light dark;--paper:#fbfaf8;--card:#fff;--ink:#1c1f26;--soft:#5b616e;--line:#e4e2dd;--native:#0067a8;--js:#2f9bdc;--tfjs-wasm:#d55e00;--tfjs-cpu:#c98500;--jax:#00845f;--brain:#b2568c;--onnx:#71767f}
@media (prefers-color-scheme:dark){:root{--paper:#14161b;--card:#1c1f26;--ink:#eceef2;--soft:#a0a7b4;--line:#30343d;--native:#4db2ff;--js:#8fd0ff;--tfjs-wasm:#ff8a3d;--tfjs-cpu:#f0b429;--jax:#3ccba0;--brain:#e293c0;--onnx:#a5abb6}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;-webkit-text-size-adjust:100%}
header,main,footer{max-width:1180px;margin:0 auto;padding:0 24px}
header{padding-top:48px}
.eyebrow{margin:0;color:var(--native);font-weight:600;letter-spacing:.02em}
h1{margin:4px 0 12px;font-size:clamp(1.9rem,5vw,2.9rem);line-height:1.1;letter-spacing:-.02em}
.where{margin:0;color:var(--soft);display:flex;flex-wrap:wrap;gap:2px 0}
.where span:not(:last-child)::after{content:"·";margin:0 8px}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(190px,1fr));gap:12px;margin:32px 0 0}
.card{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:16px 18px;display:flex;flex-direction:column}
.card strong{font-size:2.2rem;line-height:1.1;letter-spacing:-.03em;color:var(--native)}
.card .what{font-weight:600;margin-top:6px}
.card .against{color:var(--soft);font-size:.86rem}
section{margin:44px 0 0}
h2{margin:0 0 14px;font-size:1.4rem;letter-spacing:-.01em}
h2 small{font-size:.95rem;font-weight:400;color:var(--soft);letter-spacing:0;margin-left:6px}
section>p{margin:-6px 0 14px;color:var(--soft);max-width:72ch}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(320px,100%),1fr));gap:16px}
figure{margin:0;background:var(--card);border:1px solid var(--line);border-radius:12px;padding:16px 18px 12px}
figcaption{font-weight:600;margin-bottom:10px}
figcaption small{display:block;font-weight:400;color:var(--soft);font-size:.86rem}
svg{display:block;width:100%;height:auto;font:13px system-ui,-apple-system,"Segoe UI",Roboto,Arial,sans-serif;fill:var(--ink)}
.grid{stroke:var(--line);stroke-width:1}
.tick{fill:var(--soft);font-size:11px}
.name,.value,.why{paint-order:stroke;stroke:var(--card);stroke-width:4px;stroke-linejoin:round}
.name.own{font-weight:700}
.value{font-weight:600;font-variant-numeric:tabular-nums}
.why{fill:var(--soft);font-size:12px}
.bar,.dot{fill:var(--c)}
.whisker{stroke:var(--ink);stroke-width:1.4;fill:none}
.curve{stroke:var(--c);stroke-width:2.2;fill:none;stroke-linejoin:round}
.aim{stroke:var(--ink);stroke-width:1.2;stroke-dasharray:5 4}
.c-native{--c:var(--native)}.c-js{--c:var(--js)}.c-tfjs-wasm{--c:var(--tfjs-wasm)}.c-tfjs-cpu{--c:var(--tfjs-cpu)}.c-jax{--c:var(--jax)}.c-brain{--c:var(--brain)}.c-onnx{--c:var(--onnx)}
p.note{margin:10px 0 0;font-size:.86rem;max-width:none}
.who{list-style:none;margin:0;padding:0;display:grid;gap:8px}
.who li{display:grid;grid-template-columns:14px 200px 1fr;gap:4px 12px;align-items:baseline}
.who i{width:12px;height:12px;border-radius:3px;background:var(--c)}
.who span{color:var(--soft)}
.who .off i{background:none;border:1.5px solid var(--c)}
code{font:.88em ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;background:var(--paper);border:1px solid var(--line);border-radius:5px;padding:1px 6px;color:var(--ink);overflow-wrap:anywhere}
details{margin:44px 0 0}
summary{cursor:pointer;font-weight:600}
.scroll{overflow-x:auto}
table{border-collapse:collapse;margin-top:12px;font-size:.88rem;font-variant-numeric:tabular-nums;white-space:nowrap}
th,td{text-align:left;padding:6px 14px 6px 0;border-bottom:1px solid var(--line)}
th{color:var(--soft);font-weight:600}
footer{margin-top:44px;padding-bottom:48px;color:var(--soft);font-size:.86rem}
footer::before{content:"";display:block;border-top:1px solid var(--line);margin-bottom:16px}
@media (max-width:600px){header,main,footer{padding-left:16px;padding-right:16px}header{padding-top:28px}.cards{grid-template-columns:1fr 1fr}.card{padding:12px 14px}.card:last-child:nth-child(odd){grid-column:1/-1}.card strong{font-size:1.8rem}.who li{grid-template-columns:14px 1fr}.who span{grid-column:2}h2 small{display:block;margin:2px 0 0}figure{padding:14px 14px 10px}}
`
