# shellcheck shell=bash
# What the steps share. Each runs in its own virtual environment, and gets a folder to work in.

# packages COMMAND:PACKAGE...: install the Debian packages whose commands are missing. Fails where that cannot be done.
packages() {
  local missing=() pair quiet=(-qq -y -o Acquire::Retries=0 -o Acquire::http::Timeout=20 -o DPkg::Lock::Timeout=120)
  for pair in "$@"; do
    command -v "${pair%%:*}" >/dev/null || missing+=("${pair#*:}")
  done
  ((${#missing[@]})) || return 0
  if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
    echo "ci: ${missing[*]} missing, and only root can install packages, with apt-get"
    return 1
  fi
  apt-get "${quiet[@]}" update >/dev/null 2>&1
  DEBIAN_FRONTEND=noninteractive apt-get "${quiet[@]}" install --no-install-recommends "${missing[@]}" >/dev/null 2>&1 ||
    { echo "ci: apt-get could not install ${missing[*]}"; return 1; }
}

# skip MESSAGE: end a step that cannot run here. With BPTT_CI_STRICT=1, as in the workflows, that is an error.
skip() {
  echo "ci: $1"
  exit "${BPTT_CI_STRICT:-0}"
}

# build FOLDER OPTION...: build the package with these options of CMake, importable from FOLDER/site.
build() {
  local folder=$1
  shift
  cmake "$@" -S . -B "$folder/build" -G Ninja -Dpybind11_DIR="$(python -m pybind11 --cmakedir)" >/dev/null &&
    cmake --build "$folder/build" --target _core >"$folder.log" || { cat "$folder.log"; return 1; }
  mkdir -p "$folder/site"
  cp -r src/bptt "$folder/site/"
  rm -f "$folder"/site/bptt/_core*.so
  cp "$folder"/build/_core*.so "$folder/site/bptt/"
}

# build_library FOLDER: build libbptt after `build FOLDER ... -DBPTT_C_API=ON`, for tests/test_c_library.py.
build_library() {
  cmake --build "$1/build" --target bptt >>"$1.log" || { cat "$1.log"; return 1; }
  export BPTT_LIBRARY=$1/build/libbptt.so
}

# short FOLDER FILE...: run test files over the package in FOLDER/site.
short() {
  PYTHONPATH=$1/site python -m pytest -q -p no:cacheprovider "${@:2}"
}

# The tests of the kernels, for emulated processors: an emulator does not run the processes that a test starts.
kernel_tests=()
for name in activations bfloat16 bfloat16_products bits clip clip_largest crosscheck gradcheck int8_inference int8_products \
  kind_finite_range kind_range kind_stale_state losses memory_blocks optim ragged recompute regularizers stream; do
  kernel_tests+=("tests/test_$name.py")
done
