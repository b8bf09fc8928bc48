//! Links the loader for Node.
fn main() {
    napi_build::setup();
}
