//! Generates the records from `idl/*.jute`.

#[path = "src/codegen.rs"]
#[allow(dead_code)]
mod codegen;
#[path = "src/idl.rs"]
#[allow(dead_code)]
mod idl;

use std::{env, fs, path::Path};

fn main() {
    println!("cargo::rerun-if-changed=idl");
    let mut files: Vec<_> = fs::read_dir("idl")
        .expect("jute/idl exists")
        .map(|e| e.expect("readable directory").path())
        .collect();
    files.sort();
    let mut modules = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).expect("readable file");
        match idl::parse(&text) {
            Ok(m) => modules.extend(m),
            Err(e) => panic!("{}: {e}", file.display()),
        }
    }
    let code = codegen::generate(&modules).unwrap_or_else(|e| panic!("idl: {e}"));
    let out = env::var("OUT_DIR").expect("set by cargo");
    fs::write(Path::new(&out).join("records.rs"), code).expect("writable OUT_DIR");
}
