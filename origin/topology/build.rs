//! Compiles `proto/` into Rust.

use std::path::PathBuf;
use std::{env, error::Error, fs};

use protox::prost::Message as _;

const FILES: [&str; 2] = ["claim.proto", "topology_service.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(FILES, ["proto"])?;
    // For reflection, which lets clients such as grpcurl ask without these files.
    let file = PathBuf::from(env::var("OUT_DIR")?).join("descriptors.bin");
    fs::write(file, descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .build_transport(false)
        .include_file("proto.rs")
        .compile_fds(descriptors)?;
    Ok(())
}
