//! Names the shared library as the old one was, so that programs linked to that find this one.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,librdpmux.so.0");
}
