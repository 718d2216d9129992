//! Routes one call of Lua's through `src/script/whole.rs`, which says why.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-link-arg=-Wl,--wrap=strspn");
}
