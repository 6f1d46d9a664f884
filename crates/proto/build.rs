//! Generates the Rust code of the protocol from `proto/muster.proto`, without an installed `protoc`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto/muster.proto");
    let descriptors = protox::compile(["proto/muster.proto"], ["proto"])?;
    tonic_prost_build::configure().bytes(".").compile_fds(descriptors)?;
    Ok(())
}
