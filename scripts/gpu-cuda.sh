#!/bin/sh
# What our CUDA kernels have to show on a device, in one command and as one Markdown document on stdout; within the pack of scripts/gpu, whose
# environment it expects. Arguments: the Python with torch, [--quick].
python=$1
shift
failed=0
addon=$(ls "$PWD"/build/quarterturn.*.node)
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader 2>/dev/null | sed 's/^/Device: /'
echo
echo '## Installation'
echo
node dist/cli/main.js doctor | sed 's/^/    /' || failed=1
echo
echo '## Parity and gradients'
echo
node scripts/test.mjs --built tests/cuda tests/parity tests/nn/recurrent tests/nn/lengths tests/nn/residual >"$PWD/tests.log" 2>&1 || failed=1
tail -n 1 "$PWD/tests.log"
[ $failed = 0 ] || tail -n 200 "$PWD/tests.log" >&2
echo
echo '## compute-sanitizer'
echo
if command -v compute-sanitizer >/dev/null; then
  for tool in memcheck racecheck synccheck initcheck; do
    if compute-sanitizer --tool "$tool" --target-processes all --error-exitcode 9 "$python" scripts/gpu-sanitize.py "$addon" >"$PWD/$tool.log" 2>&1
    then echo "- $tool: nothing found"
    else failed=1; echo "- $tool: FAILED"; tail -n 60 "$PWD/$tool.log" >&2
    fi
  done
else
  echo 'not installed: left out'
fi
"$python" bench/opponents/cuda_table.py "$addon" "$@" || failed=1
echo
echo '## Whole training steps'
echo
node --enable-source-maps build/ts/bench/main.js '^cuda/step/' | sed 's/^/    /' || failed=1
exit $failed
