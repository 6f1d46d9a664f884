//! What a command line says beside the file.

use crate::configuration::{Disk, Profile, Resources, Retry};
use crate::document::{Node, Path, Problems, Read, Value};
use crate::values::{Duration, EnvValue, IdleDuration, OffDuration};

/// The words of the command line. They win over those of the file.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `--name`.
    pub name: Option<String>,
    /// `--env`, in order.
    pub env: Vec<(String, EnvValue)>,
    /// Words after `--`, for `${{ run.args }}`.
    pub run_args: Vec<String>,
    /// `--cpu` and its kin.
    pub resources: Resources,
    /// `--max-duration` and its kin.
    pub profile: Profile,
}

impl Overrides {
    /// Takes one property in the words that a file would use for it: `cpu`, `memory`, `gpu`, `disk`, `shm_size`,
    /// `max_duration`, `max_price`, `spot_policy`, `creation_policy`, `idle_duration`, `retry`, `retry_duration`,
    /// and, each adding to a list, `fleet`, `backend`, `region`, `instance_type`.
    ///
    /// # Errors
    /// What is wrong with the words, or that there is no such property; for the user.
    pub fn set(&mut self, property: &str, words: &str) -> Result<(), Problems> {
        let node = Node { value: Value::Text(words.to_owned()), written: None, location: None };
        let path = Path::Property(&Path::Root, property);
        let (resources, profile) = (&mut self.resources, &mut self.profile);
        match property {
            "cpu" => resources.cpu = Some(Read::read(&node, &path)?),
            "memory" => resources.memory = Some(Read::read(&node, &path)?),
            "gpu" => resources.gpu = Some(Read::read(&node, &path)?),
            "disk" => resources.disk = Some(Disk::read(&node, &path)?),
            "shm_size" => resources.shm_size = Some(Read::read(&node, &path)?),
            "max_duration" => profile.max_duration = OffDuration::read_optional(&node, &path)?,
            "max_price" => profile.max_price = Some(Read::read(&node, &path)?),
            "spot_policy" => profile.spot_policy = Some(Read::read(&node, &path)?),
            "creation_policy" => profile.creation_policy = Some(Read::read(&node, &path)?),
            "idle_duration" => profile.idle_duration = IdleDuration::read_optional(&node, &path)?,
            "retry" => profile.retry = Some(Read::read(&node, &path)?),
            "retry_duration" => {
                let duration = Some(Duration::read(&node, &path)?);
                profile.retry = Some(Retry::Policy { on_events: None, duration });
            }
            "fleet" => profile.fleets.get_or_insert_default().push(Read::read(&node, &path)?),
            "backend" => profile.backends.get_or_insert_default().push(Read::read(&node, &path)?),
            "region" => profile.regions.get_or_insert_default().push(words.to_owned()),
            "instance_type" => profile.instance_types.get_or_insert_default().push(words.to_owned()),
            _ => return Err(Problems::of(property, "there is no such property")),
        }
        Ok(())
    }
}
