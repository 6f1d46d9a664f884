//! Generates the Rust code of the protocol from `proto/muster.proto`, without an installed `protoc`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto/muster.proto");
    let descriptors = protox::compile(["proto/muster.proto"], ["proto"])?;
    // A whole job within a message that seldom has one would make every message as large.
    let configuration = tonic_prost_build::configure().bytes(".").boxed(".muster.v1.CleanJob.epilog");
    configuration.compile_fds(descriptors)?;
    Ok(())
}
