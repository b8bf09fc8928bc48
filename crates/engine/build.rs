//! Compiles the C++ shim against the libtorch that torch-sys found.
use std::path::Path;

const FILES: &[&str] = &[
    "allocator.cpp",
    "autograd.cpp",
    "convolution.cpp",
    "cuda.cpp",
    "elementwise.cpp",
    "kernels.cpp",
    "optimizer.cpp",
    "platform.cpp",
    "program.cpp",
];

fn main() {
    println!("cargo:rerun-if-changed=shim");
    // Set by torch-sys, which is a direct dependency for this reason.
    let Ok(library) = std::env::var("DEP_TCH_LIBTORCH_LIB") else {
        println!("cargo:warning=libtorch was not found: set LIBTORCH to a folder with lib/ and include/");
        std::process::exit(1);
    };
    let include = Path::new(&library).with_file_name("include");
    let abi = std::env::var("LIBTORCH_CXX11_ABI").unwrap_or_else(|_| "1".to_owned());
    println!("cargo:rerun-if-env-changed=LIBTORCH_CXX11_ABI");
    cc::Build::new()
        .cpp(true)
        .pic(true)
        .warnings(false)
        .opt_level(2)
        .include(include.join("torch/csrc/api/include"))
        .include(&include)
        .flag("-std=c++17")
        // Without OpenMP at::parallel_for is silently serial.
        .flag("-fopenmp")
        .define("_GLIBCXX_USE_CXX11_ABI", abi.as_str())
        .files(FILES.iter().map(|file| Path::new("shim").join(file)))
        .compile("quarterturn_shim");
    println!("cargo:libtorch_lib={library}");
    println!("cargo:rustc-link-arg=-Wl,-rpath,{library}");
}
