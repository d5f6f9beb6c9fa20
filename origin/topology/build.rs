//! Compiles `proto/` into Rust: messages and services by tonic, their JSON form by pbjson. The
//! parser is written in Rust too, so a build needs no `protoc`.

use std::path::PathBuf;
use std::{env, error::Error, fs};

use protox::prost::Message as _;

const FILES: [&str; 2] = ["claim.proto", "topology_service.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(FILES, ["proto"])?;
    let encoded = descriptors.encode_to_vec();
    // For reflection, with which clients such as grpcurl work without these files.
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("descriptors.bin"), &encoded)?;
    tonic_prost_build::configure()
        .build_transport(false)
        .include_file("proto.rs")
        .compile_fds(descriptors)?;
    pbjson_build::Builder::new()
        .register_descriptors(&encoded)?
        .build(&[".gitlab.cells.topology_service"])?;
    Ok(())
}
