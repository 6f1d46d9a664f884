//! The supervisor as a program of its own, for packages that want it apart from `muster`.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    match arguments.as_slice() {
        [server] if server == muster_runtime::pmix::SERVER_ARGUMENT => muster_runtime::pmix::server::run().into(),
        [option, dir] if option == "--dir" => muster_runtime::supervisor::run(Path::new(dir)).into(),
        _ => {
            eprintln!("usage: muster-supervisor --dir SPOOL");
            2.into()
        }
    }
}
