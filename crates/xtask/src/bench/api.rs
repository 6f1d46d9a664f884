//! Durable submits per second through the API, and what a waiting job costs in memory.

use anyhow::{Context, Result};

use super::support::{Cluster, build, figure, output_of};

/// Submits of one measurement.
const SUBMITS: u64 = 50_000;

pub(super) fn run(_args: &[String]) -> Result<()> {
    let release = build(&["submit_storm"])?;
    let storm = release.join("examples/submit_storm").display().to_string();
    let cluster = Cluster::start(&release, 4, "api")?;
    let idle_kb = cluster.controller_rss_kb()?;
    figure("controller memory, idle", format!("{:.1} MB", idle_kb as f64 / 1024.0), "goal under 50 MB");
    for clients in [1, 8] {
        let text = output_of(cluster.command(&storm).args([clients.to_string(), SUBMITS.to_string()]))?;
        let rate = text.split_whitespace().nth(2).context("no rate from the load generator")?;
        let goal = "goal 10,000/s; Slurm 22.05: 270 to 450, dstack 0.22: 3 to 7";
        figure(&format!("durable submits/s, {clients} client(s)"), format!("{rate}/s"), goal);
    }
    let full_kb = cluster.controller_rss_kb()?;
    let each = (full_kb.saturating_sub(idle_kb) as f64) * 1024.0 / (2 * SUBMITS) as f64;
    figure("controller memory per pending job", format!("{each:.0} B"), "goal under 1,500 B");
    drop(cluster);

    let cluster = Cluster::start(&release, 4, "array")?;
    let before_kb = cluster.controller_rss_kb()?;
    output_of(cluster.command("sbatch").args(["--hold", "--array=0-999999", "--output=/dev/null", "--wrap=true"]))?;
    let after_kb = cluster.controller_rss_kb()?;
    let cost = after_kb.saturating_sub(before_kb);
    figure("memory of an array of a million tasks before it starts", format!("{cost} kB"), "goal under 1,024 kB");
    Ok(())
}
