//! With the feature `emulation`: compiles the kernels for the CPU (see `emulation/emulation.h`).

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    #[cfg(feature = "emulation")]
    emulation();
}

#[cfg(feature = "emulation")]
fn emulation() {
    use std::path::PathBuf;

    // Emulated before anything else is compiled: every kernel, and the kernels that try the emulation itself.
    let files = |folder: &str, extension: &str| -> Vec<PathBuf> {
        println!("cargo:rerun-if-changed={folder}");
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let mut files: Vec<_> = entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == extension)).collect();
        files.sort();
        files
    };
    for header in files(".", "cuh") {
        println!("cargo:rerun-if-changed={}", header.display());
    }
    let kernels = [files(".", "cu"), files("emulation", "cu"), files("emulation", "cpp")].concat();
    let mut build = cc::Build::new();
    // Kernels are laws to be checked, not numbers to be had quickly: no contraction of a * b + c beyond what they write themselves.
    build.cpp(true).std("c++17").define("EMULATED", None).include(".").opt_level(2).flag("-ffp-contract=off").flag("-Wno-unknown-pragmas");
    // Kernels are found by name, in a table that they enter themselves into: the linker must not leave out what nobody calls.
    build.link_lib_modifier("+whole-archive");
    // For the compiler a .cu file is C++ if it is told so.
    build.flag("-x").flag("c++").files(kernels).compile("quarterturn_emulation");
}
