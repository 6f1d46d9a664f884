//! An image in which the runner works.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::Cluster;
use super::docker::Docker;

/// The runner, beside the program under test; built where nobody has built it.
pub fn runner() -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_muster")).with_file_name("muster-runner");
    if !path.exists() {
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
        let built = Command::new(cargo).args(["build", "--locked", "-p", "muster-runner"]).status();
        assert!(built.is_ok_and(|status| status.success()) && path.exists(), "cargo build -p muster-runner");
    }
    path
}

/// An image `visited` with rsync and what the runner of a debug build needs; one of a release needs nothing.
pub fn make(docker: &Docker, cluster: &Cluster) {
    docker.docker("create --name maker test");
    let line = format!(
        "file=$(command -v rsync); (ldd {}; ldd $file) | grep -o '/[^ ]*' | sort -u | \
         xargs tar -chP --transform 's#^/##' --transform 's#^usr/bin/rsync#bin/rsync#' $file > layer.tar",
        runner().display()
    );
    cluster.out(&line);
    docker.docker(&format!("cp - maker:/ < {}/layer.tar", cluster.work().display()));
    docker.commit("maker", "visited");
    docker.docker("rm maker");
}
