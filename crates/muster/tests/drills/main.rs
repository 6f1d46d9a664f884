//! Kill drills: jobs of every kind run, one process is killed at a random moment, what a service manager would start again
//! is started again, and then everything must have ended right and nothing may be left.
//!
//! Each round draws from its own seed, which a failure names. `cargo xtask drill` runs many rounds:
//! `MUSTER_DRILL_COUNT` is their number and `MUSTER_DRILL_SEED` the seed of the first.

#[path = "../support/mod.rs"]
mod support;

mod census;
mod dice;
mod kinds;
mod round;

use census::Census;
use dice::Dice;
use kinds::{BUNDLED, CONTAINED, KINDS, Kind};
use round::Victim;
use support::Cluster;
use support::docker::{Docker, Kind as Engine};
use support::{bundle, image};

/// Rounds of each drill.
fn count() -> u64 {
    std::env::var("MUSTER_DRILL_COUNT").ok().and_then(|text| text.parse().ok()).unwrap_or(2)
}

/// Seed of the first round.
fn seed() -> u64 {
    std::env::var("MUSTER_DRILL_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// Runs all rounds with one kind of victim on one cluster, in containers of `engine` where there is one.
fn drill(victim: Victim, engine: Option<Engine>) {
    let mut docker = match engine {
        Some(engine) => match Docker::start(engine) {
            Some(docker) => Some(docker),
            None => return,
        },
        None => None,
    };
    let host = docker.iter().map(|docker| ("DOCKER_HOST", docker.host())).collect::<Vec<_>>();
    let cluster = Cluster::start_with(&["--nodes", "3", "--cpus", "8"], &host);
    let mut kinds: Vec<&Kind> = match docker {
        Some(_) => KINDS.iter().filter(|kind| kind.may_be_contained()).chain(CONTAINED).collect(),
        None => KINDS.iter().collect(),
    };
    if let Some(docker) = &docker {
        image::runner();
        image::make(docker, &cluster);
        cluster.out("srun -N3 --container-image=test true");
        if bundle::prepare(&cluster, &["n1", "n2", "n3"], "").is_some() {
            cluster.out("srun -N3 --container=$PWD/bundle echo");
            kinds.extend(BUNDLED);
        }
    }
    // The first job makes what stays: directories, connections, files of the database.
    cluster.out("srun -N3 true");
    cluster.wait("the queue to be empty", || cluster.out("squeue -h").is_empty());
    let before = Census::take(&cluster);
    for seed in seed()..seed() + count() {
        if count() > 5 {
            eprintln!("{victim:?}: seed {seed}");
        }
        round::play(&cluster, victim, &kinds, docker.as_mut(), Dice::new(seed), seed);
        before.compare(&cluster, &format!("{victim:?} killed, seed {seed}"));
        if let Some(docker) = &docker {
            cluster.wait(&format!("seed {seed}: all containers to be removed"), || docker.containers().is_empty());
        }
    }
}

#[test]
fn agent() {
    drill(Victim::Agent, None);
}

#[test]
fn supervisor() {
    drill(Victim::Supervisor, None);
}

#[test]
fn controller() {
    drill(Victim::Controller, None);
}

#[test]
fn docker() {
    drill(Victim::Docker, Some(Engine::Docker));
}

#[test]
fn podman() {
    drill(Victim::Docker, Some(Engine::Podman));
}

#[test]
fn agent_of_containers() {
    drill(Victim::Agent, Some(Engine::Docker));
}

#[test]
fn supervisor_of_containers() {
    drill(Victim::Supervisor, Some(Engine::Docker));
}

#[test]
fn controller_of_containers() {
    drill(Victim::Controller, Some(Engine::Docker));
}

#[test]
fn runner() {
    drill(Victim::Runner, Some(Engine::Docker));
}

#[test]
fn client() {
    drill(Victim::Client, None);
}
