//! Options of pyxis, the plugin by which Slurm sites run scripts and tasks in Docker images.
//!
//! Their names, variables, meaning and complaints are those of pyxis 0.21. What differs comes from what runs the
//! containers: Docker or Podman on the node, and not enroot. So the user in a container is always that of the job, and
//! nothing is saved as a squashfs file.

use muster_model::container::{ContainerMount, ContainerName, ContainerRequest, NameMode, NameScope};

use super::placement::keep_flag;
use super::spec::Argument::{None as NoValue, Required};
use super::spec::Command::{Salloc, Sbatch, Srun};
use super::spec::{Command, Commands, Fault, Input, Line, OptionSpec, Section};
use super::values::SubmitOptions;

const ALL: Commands = Commands::ALL;

/// One variable for all three commands.
macro_rules! variables {
    ($name:literal) => {
        [(Sbatch, $name), (Srun, $name), (Salloc, $name)]
    };
}

/// The options of this file.
pub const OPTIONS: &[OptionSpec] = &[
    value("container-image", image)
        .env(&variables!("PYXIS_CONTAINER_IMAGE"))
        .help("[USER@][REGISTRY#]IMAGE[:TAG]", "run in a container of this image"),
    value("container-mounts", mounts)
        .env(&variables!("PYXIS_CONTAINER_MOUNTS"))
        .help("SRC:DST[:FLAGS][,...]", "what is mounted into the container; flags are separated by +"),
    value("container-workdir", |options, input| {
        options.container.work_dir = Some(required(input)?.to_owned());
        Ok(input.value.to_owned())
    })
    .env(&variables!("PYXIS_CONTAINER_WORKDIR"))
    .help("path", "working directory in the container"),
    value("container-name", name)
        .env(&variables!("PYXIS_CONTAINER_NAME"))
        .help("name[:flag]", "keep the container under this name, or use the one that is there"),
    value("container-save", |_, input| {
        required(input)?;
        Err(complaint(input, "--container-save: containers cannot be saved to files; --container-name keeps them"))
    })
    .env(&variables!("PYXIS_CONTAINER_SAVE"))
    .help("path", "save the container to a file; not supported")
    .refused(),
    flag("container-mount-home", "mount the home directory into the container")
        .env(&variables!("PYXIS_CONTAINER_MOUNT_HOME")),
    flag("no-container-mount-home", "do not mount the home directory into the container"),
    flag("container-remap-root", "be root in the container; not supported")
        .env(&variables!("PYXIS_CONTAINER_REMAP_ROOT"))
        .refused(),
    flag("no-container-remap-root", "be oneself in the container; always so").moot(),
    flag("container-entrypoint", "start programs by the entry point of the image")
        .env(&variables!("PYXIS_CONTAINER_ENTRYPOINT")),
    flag("no-container-entrypoint", "do not use the entry point of the image"),
    flag("container-entrypoint-log", "show what the entry point prints; always so")
        .env(&variables!("PYXIS_CONTAINER_ENTRYPOINT_LOG"))
        .moot(),
    flag("container-writable", "the file system of the container can be written to"),
    flag("container-readonly", "the file system of the container cannot be written to")
        .env(&variables!("PYXIS_CONTAINER_READONLY")),
    value("container-env", environment)
        .env(&variables!("PYXIS_CONTAINER_ENV"))
        .help("names", "variables that keep their value where the image sets them too"),
];

const fn value(name: &'static str, set: super::spec::Setter) -> OptionSpec {
    OptionSpec::new(name, ALL, Required, set).section(Section::Other).newer()
}

const fn flag(name: &'static str, text: &'static str) -> OptionSpec {
    OptionSpec::new(name, ALL, NoValue, keep_flag).section(Section::Other).newer().help("", text)
}

/// A complaint as Slurm prints it for an option of a plugin.
fn complaint(input: &Input<'_>, text: &str) -> Fault {
    let refused = format!("Invalid --{} argument: {}", input.name, input.value);
    Fault::error(255, refused).after(Line::Error(format!("pyxis: {text}")))
}

fn required<'a>(input: &Input<'a>) -> Result<&'a str, Fault> {
    match input.value {
        "" => Err(complaint(input, &format!("--{}: argument required", input.name))),
        value => Ok(value),
    }
}

fn image(options: &mut SubmitOptions, input: &Input<'_>) -> Result<String, Fault> {
    let image = required(input)?;
    if image.starts_with(['.', '/']) {
        let text = format!(
            "--container-image: {image}: files of images cannot be run, only images of a registry or of Docker"
        );
        return Err(complaint(input, &text));
    }
    options.container.image = Some(image.to_owned());
    Ok(image.to_owned())
}

/// Adds to what was given in the same place, as pyxis does; the command line replaces the script and the environment.
fn mounts(options: &mut SubmitOptions, input: &Input<'_>) -> Result<String, Fault> {
    if options.origin(input.name).is_some_and(|origin| origin != input.origin) {
        options.container.mounts.clear();
    }
    for text in required(input)?.split(',') {
        let mount = ContainerMount::parse(text).map_err(|error| complaint(input, &error))?;
        if !options.container.mounts.contains(&mount) {
            options.container.mounts.push(mount);
        }
    }
    // All of them are handed on to the steps of an allocation.
    let before = options.given.get(input.name).filter(|given| given.origin == input.origin);
    Ok(before.map_or_else(|| input.value.to_owned(), |given| format!("{},{}", given.shown, input.value)))
}

fn name(options: &mut SubmitOptions, input: &Input<'_>) -> Result<String, Fault> {
    let (name, flag) = required(input)?.split_once(':').unwrap_or((input.value, ""));
    if name.is_empty() {
        return Err(complaint(input, "--container-name: empty name"));
    }
    let Some(mode) = NameMode::parse(flag) else {
        let text = "--container-name: flag must be \"auto\", \"create\", \"exec\" or \"no_exec\"";
        return Err(complaint(input, text));
    };
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    if !name.chars().all(fits) {
        return Err(complaint(input, "--container-name: only letters, digits, '_', '.' and '-' can be in a name"));
    }
    options.container.name = Some(ContainerName { name: name.to_owned(), mode, scope: NameScope::default() });
    Ok(input.value.to_owned())
}

fn environment(options: &mut SubmitOptions, input: &Input<'_>) -> Result<String, Fault> {
    let names: Vec<String> = required(input)?.split(',').map(str::to_owned).collect();
    if names.iter().any(String::is_empty) {
        return Err(complaint(input, &format!("--container-env: invalid format: {}", input.value)));
    }
    options.container.environment = names;
    Ok(input.value.to_owned())
}

/// The options without which the others mean nothing.
const NEEDS_CONTAINER: [(&str, &str); 11] = [
    ("container-mounts", "container-mounts"),
    ("container-workdir", "container-workdir"),
    ("container-mount-home", "[no-]container-mount-home"),
    ("no-container-mount-home", "[no-]container-mount-home"),
    ("container-entrypoint", "[no-]container-entrypoint"),
    ("no-container-entrypoint", "[no-]container-entrypoint"),
    ("container-remap-root", "[no-]container-remap-root"),
    ("no-container-remap-root", "[no-]container-remap-root"),
    ("container-writable", "container-[writable|readonly]"),
    ("container-readonly", "container-[writable|readonly]"),
    ("container-env", "container-env"),
];

/// Which of two options that exclude each other holds: the one given last, where they were given in different places.
fn chosen(options: &SubmitOptions, yes: &str, no: &str) -> Result<bool, Fault> {
    match (options.origin(yes), options.origin(no)) {
        (Some(first), Some(second)) if first == second => {
            Err(Fault::error(255, format!("pyxis: both --{yes} and --{no} were specified")))
        }
        (first, second) => Ok(first > second),
    }
}

/// The container that all options together ask for. `writable` is the value of `PYXIS_CONTAINER_WRITABLE`, the one
/// variable that also says no.
///
/// # Errors
/// Options that exclude each other.
pub fn request(options: &mut SubmitOptions, writable: Option<&str>) -> Result<Option<Box<ContainerRequest>>, Fault> {
    let mut request = std::mem::take(&mut options.container);
    if request.image.is_none() && request.name.is_none() {
        let mut said: Vec<&str> = Vec::new();
        for (option, shown) in NEEDS_CONTAINER {
            if options.has_written(option) && !said.contains(&shown) {
                said.push(shown);
                let text =
                    format!("pyxis: ignoring --{shown} because neither --container-image nor --container-name is set");
                options.notices.push(Line::Error(text));
            }
        }
        return Ok(None);
    }
    if options.others.get("container").is_some_and(|path| !path.is_empty()) {
        return Err(Fault::error(255, "pyxis: an OCI bundle (--container) and an image exclude each other"));
    }
    request.mount_home = chosen(options, "container-mount-home", "no-container-mount-home")?;
    request.entrypoint = chosen(options, "container-entrypoint", "no-container-entrypoint")?;
    request.no_entrypoint = !request.entrypoint && options.has("no-container-entrypoint");
    if chosen(options, "container-remap-root", "no-container-remap-root")? {
        let text = "pyxis: --container-remap-root is not supported: the user in a container is that of the job";
        return Err(Fault::error(255, text));
    }
    let is_decided = options.has("container-readonly") || options.has("container-writable");
    let denied = writable.is_some_and(|word| matches!(word.to_ascii_lowercase().as_str(), "0" | "no" | "n" | "false"));
    request.read_only = chosen(options, "container-readonly", "container-writable")? || (!is_decided && denied);
    options.container = request.clone();
    Ok(Some(Box::new(request)))
}

/// Variables by which the steps of an allocation get the container that `salloc` was asked for.
pub fn for_steps(options: &SubmitOptions) -> Vec<(String, String)> {
    let mut variables = Vec::new();
    for spec in OPTIONS.iter().filter(|spec| spec.commands.contains(Command::Salloc)) {
        let Some(given) = options.given.get(spec.name) else { continue };
        // Another option has taken it back.
        if spec.name == "container-readonly" && !options.container.read_only {
            continue;
        }
        let (name, value) = match (spec.name.strip_prefix("no-"), spec.argument) {
            (Some(positive), _) => (positive, "0"),
            (None, NoValue) => (spec.name, "1"),
            (None, _) => (spec.name, given.shown.as_str()),
        };
        let name = format!("PYXIS_{}", name.to_ascii_uppercase().replace('-', "_"));
        variables.push((name, value.to_owned()));
    }
    variables
}
