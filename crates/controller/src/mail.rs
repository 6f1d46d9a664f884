//! Mails to users: handed to the mail program of the site.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use muster_model::ids::Name;
use muster_model::mail::Mail;
use muster_slurm::environment::{is_mail_address, letter};
use tokio::process::Command;
use tokio::sync::{Semaphore, mpsc};
use tracing::warn;

use crate::clock;
use crate::published::Published;

/// Programs that run at the same time. Others wait: a thousand jobs may end at once.
const RUNNING_MAX: usize = 16;

/// How long one may take; longer, and it is of no use to anybody.
const TIME_MAX: Duration = Duration::from_secs(60);

/// The programs of machines whose site names none.
const USUAL: [&str; 2] = ["/bin/mail", "/usr/bin/mail"];

/// Where mails come in.
pub(crate) type Sender = mpsc::UnboundedSender<Mail>;

/// Sends what comes, until the controller ends.
pub(crate) async fn run(mut wanted: mpsc::UnboundedReceiver<Mail>, published: Published) {
    let places = Arc::new(Semaphore::new(RUNNING_MAX));
    let mut has_complained = false;
    while let Some(mail) = wanted.recv().await {
        let config = published.view().config.clone();
        let usual = || USUAL.into_iter().find(|path| Path::new(path).exists()).map(Name::from);
        let Some(program) = config.mail.program.clone().or_else(usual) else {
            if !has_complained {
                warn!("no mails are sent: there is no MailProg, and no {}", USUAL[0]);
            }
            has_complained = true;
            continue;
        };
        let Ok(place) = places.clone().acquire_owned().await else { return };
        tokio::spawn(async move {
            if let Err(problem) = send(&program, &mail, &config.cluster_name).await {
                warn!(job = mail.job.id.0, "a mail was not sent: {program}: {problem}");
            }
            drop(place);
        });
    }
}

/// Runs the program to its end; says why it failed.
async fn send(program: &str, mail: &Mail, cluster_name: &str) -> Result<(), String> {
    let letter = letter(mail, cluster_name, clock::now());
    if !is_mail_address(&letter.recipient) {
        return Err(format!("{:?} is no address", letter.recipient));
    }
    let mut command = Command::new(program);
    command.args(["-s", &letter.subject, &letter.recipient]).env_clear().envs(letter.variables).current_dir("/");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    match tokio::time::timeout(TIME_MAX, command.status()).await {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(status.to_string()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("it took longer than {} seconds", TIME_MAX.as_secs())),
    }
}
