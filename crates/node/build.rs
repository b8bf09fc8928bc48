//! Links the addon for Node, and writes into it where libtorch is looked for.

/// Beside the addon's package, as most package managers lay them out; and below it, where dependencies are nested.
const PACKAGES: [&str; 2] = ["$ORIGIN/../libtorch-linux-x64-gnu/lib", "$ORIGIN/node_modules/@quarterturn/libtorch-linux-x64-gnu/lib"];

fn main() {
    napi_build::setup();
    // Functions of equal code are kept once: 0.12 MB. Rust's own linker for this target, which is its default there, knows how.
    if std::env::var("TARGET").is_ok_and(|target| target == "x86_64-unknown-linux-gnu") {
        println!("cargo:rustc-link-arg=-Wl,--icf=all");
    }
    if let Ok(folder) = std::env::var("DEP_QUARTERTURN_ENGINE_LIBTORCH_LIB") {
        // The folder of this build comes last: scripts/pack.mjs cuts it off.
        println!("cargo:rustc-link-arg=-Wl,-rpath,{}:{folder}", PACKAGES.join(":"));
    }
}
