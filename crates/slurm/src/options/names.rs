//! Names: of the job, of whom to charge, of the queue, of whom to write to.

use super::affinity::keep;
use super::spec::Argument::Required;
use super::spec::Command::{Salloc, Sbatch, Srun};
use super::spec::{Commands, Fault, Input, OptionSpec, Section};
use crate::environment::is_mail_address;
use crate::grammar::mail;

const ALL: Commands = Commands::ALL;

/// The options of this file.
pub const OPTIONS: &[OptionSpec] = &[
    OptionSpec::new("job-name", ALL, Required, |options, input| text(input, &mut options.names.job_name))
        .short('J')
        .env(&[(Sbatch, "SBATCH_JOB_NAME"), (Srun, "SLURM_JOB_NAME"), (Salloc, "SALLOC_JOB_NAME")])
        .help("name", "name of the job or step"),
    OptionSpec::new("account", ALL, Required, |options, input| text(input, &mut options.names.account))
        .short('A')
        .env(&[(Sbatch, "SBATCH_ACCOUNT"), (Srun, "SLURM_ACCOUNT"), (Salloc, "SALLOC_ACCOUNT")])
        .help("name", "account to charge"),
    OptionSpec::new("partition", ALL, Required, |options, input| text(input, &mut options.names.partition))
        .short('p')
        .env(&[(Sbatch, "SBATCH_PARTITION"), (Srun, "SLURM_PARTITION"), (Salloc, "SALLOC_PARTITION")])
        .help("name", "partition, or several with commas between"),
    OptionSpec::new("qos", ALL, Required, |options, input| text(input, &mut options.names.qos))
        .short('q')
        .env(&[(Sbatch, "SBATCH_QOS"), (Srun, "SLURM_QOS"), (Salloc, "SALLOC_QOS")])
        .help("name", "quality of service"),
    OptionSpec::new("wckey", ALL, Required, |options, input| text(input, &mut options.names.wckey))
        .env(&[(Sbatch, "SBATCH_WCKEY"), (Srun, "SLURM_WCKEY"), (Salloc, "SALLOC_WCKEY")])
        .help("wckey", "workload key"),
    OptionSpec::new("comment", ALL, Required, |options, input| text(input, &mut options.names.comment))
        .help("text", "a comment"),
    OptionSpec::new("mail-type", ALL, Required, |options, input| {
        let types = mail::parse(input.value).ok_or_else(|| input.invalid())?;
        let shown = if types.is_empty() { "NONE".to_owned() } else { types.clone() };
        options.names.mail_type = Some(types);
        Ok(shown)
    })
    .help("type", "when to write a mail (BEGIN, END, FAIL, ALL, ...)"),
    OptionSpec::new("mail-user", ALL, Required, |options, input| match is_mail_address(input.value) {
        true => text(input, &mut options.names.mail_user),
        false => Err(input.invalid()),
    })
    .help("user", "to whom"),
    OptionSpec::new("clusters", ALL, Required, clusters)
        .short('M')
        .env(&[
            (Sbatch, "SLURM_CLUSTERS"),
            (Sbatch, "SBATCH_CLUSTERS"),
            (Srun, "SLURM_CLUSTERS"),
            (Salloc, "SLURM_CLUSTERS"),
            (Salloc, "SALLOC_CLUSTERS"),
        ])
        .help("names", "clusters to ask (only this one is known)"),
    OptionSpec::new("cluster", ALL, Required, clusters).alias_of("clusters"),
    OptionSpec::new("uid", ALL, Required, |options, input| {
        let uid = id(input, |name| input.world.host.user_id(name))?;
        // Also a number must be that of somebody.
        if uid != input.world.uid && input.world.host.user_name(uid).is_none() {
            return Err(input.invalid());
        }
        if input.world.uid != 0 && uid != input.world.uid {
            return Err(Fault::error(255, "--uid only permitted by root user"));
        }
        options.names.uid = Some(uid);
        Ok(uid.to_string())
    })
    .help("user", "run as this user (root only)"),
    OptionSpec::new("gid", ALL, Required, |options, input| {
        let gid = id(input, |name| input.world.host.group_id(name))?;
        if input.world.uid != 0 {
            return Err(Fault::error(255, "--gid only permitted by root user"));
        }
        options.names.gid = Some(gid);
        Ok(gid.to_string())
    })
    .help("group", "run as this group (root only)"),
    OptionSpec::new("mcs-label", ALL, Required, keep).help("label", "security label"),
    OptionSpec::new("context", ALL, Required, keep)
        .help("label", "security context")
        .section(Section::Hidden)
        .not_yet(),
];

fn text(input: &Input<'_>, slot: &mut Option<String>) -> Result<String, Fault> {
    *slot = Some(input.value.to_owned());
    Ok(input.value.to_owned())
}

fn clusters(options: &mut super::values::SubmitOptions, input: &Input<'_>) -> Result<String, Fault> {
    let own = |name: &str| name.eq_ignore_ascii_case("all") || input.world.cluster_name.is_none_or(|own| own == name);
    if let Some(strange) = input.value.split(',').find(|name| !own(name)) {
        return Err(Fault::error(
            1,
            format!(
                "'{strange}' can't be reached now, or it is an invalid entry for --cluster.  Use 'sacctmgr list clusters' to see available clusters."
            ),
        )
        .after(super::spec::Line::Error(format!("No cluster '{strange}' known by database."))));
    }
    text(input, &mut options.names.clusters)
}

fn id(input: &Input<'_>, find: impl Fn(&str) -> Option<u32>) -> Result<u32, Fault> {
    find(input.value).or_else(|| input.value.parse().ok()).ok_or_else(|| input.invalid())
}
