//! As the server's own: one call of Lua's goes through `src/script/whole.rs`.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-link-arg=-Wl,--wrap=strspn");
}
