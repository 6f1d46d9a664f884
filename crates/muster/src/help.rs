//! The list of commands for people.

use muster_cli::command::{ALL, Family};

/// Prints what `program` can do.
pub(crate) fn print(program: &str, offered: fn(Family) -> bool) {
    println!("One workload manager for AI and HPC clusters.\n\nUsage: {program} COMMAND [ARGUMENTS]\n");
    for (family, title) in [
        (Family::Native, "This cluster"),
        (Family::Run, "Runs (.dstack.yml)"),
        (Family::Slurm, "Batch jobs (also under their own names, see: muster links)"),
    ] {
        let commands = ALL.iter().filter(|command| command.family == family && offered(family));
        let lines: Vec<String> = commands.map(|command| format!("  {:<12} {}", command.name, command.about)).collect();
        if !lines.is_empty() {
            println!("{title}:\n{}\n", lines.join("\n"));
        }
    }
    if program == "muster" {
        println!(
            "Daemons:\n  controller   the head of a cluster (also: slurmctld)\n  agent        one node of a cluster (also: slurmd)\n"
        );
    }
    println!("Each command explains itself with --help.");
}
