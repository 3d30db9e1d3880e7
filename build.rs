//! Buildpacks and migrations are compiled in; cargo does not see by itself when one of their files is new.

fn main() {
    for folder in ["buildpacks", "migrations", "src/build/stack"] {
        println!("cargo:rerun-if-changed={folder}");
    }
}
