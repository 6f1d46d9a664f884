//! Arguments of `muster dev`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Start and stop a development cluster on this machine.
#[derive(Debug, Parser)]
#[command(name = "muster dev", version)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Start a cluster, or whatever of it has died, and return when all nodes are usable.
    Up(Up),
    /// Print shell lines that point all commands at the cluster: eval "$(muster dev env DIR)".
    Env {
        /// Directory of the cluster.
        directory: PathBuf,
    },
    /// Show which processes run.
    Status {
        /// Directory of the cluster.
        directory: PathBuf,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Stop the cluster with everything that runs on it. Its state stays in the directory.
    Down {
        /// Directory of the cluster.
        directory: PathBuf,
    },
}

/// The size of a new cluster. On an old directory, its own configuration counts.
#[derive(Debug, Clone, Args)]
pub(crate) struct Up {
    /// Directory of the cluster; made if it does not exist.
    pub directory: PathBuf,
    /// Number of nodes.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub nodes: u32,
    /// CPUs of each node; may exceed what the machine has.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub cpus: u32,
    /// Memory of each node in MiB; may exceed what the machine has.
    #[arg(long, default_value_t = 64_000, value_parser = clap::value_parser!(u64).range(1..=1 << 40))]
    pub memory_mb: u64,
    /// Pretended GPUs of each node.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=64))]
    pub gpus: u32,
    /// Nodes, partitions and parameters from this slurm.conf; addresses and paths are made local.
    #[arg(long)]
    pub conf: Option<PathBuf>,
}
