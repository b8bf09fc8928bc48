//! Links the addon for Node and lets development builds find libtorch.
fn main() {
    napi_build::setup();
    if let Ok(folder) = std::env::var("DEP_QUARTERTURN_ENGINE_LIBTORCH_LIB") {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{folder}");
    }
}
