//! An OCI bundle made of programs of this machine, and nodes that run it.

use super::Cluster;

/// Programs of the bundle.
const PROGRAMS: &str = "sh cat echo id pwd sleep test env ls kill touch";

/// Runtimes, as their command lines begin. Each fails on some machines, by how control groups are mounted there.
const RUNTIMES: [&str; 2] = ["crun --cgroup-manager=disabled", "runc"];

/// Makes a bundle at `bundle` in the directory for jobs, and has the nodes run such, with `more` in `oci.conf`. Gives the runtime; `None`, with
/// words on standard error, where none can run.
pub fn prepare(cluster: &Cluster, nodes: &[&str], more: &str) -> Option<&'static str> {
    cluster.file("make-bundle", &make_bundle());
    cluster.out("sh -e make-bundle");
    let name = name(cluster);
    let works = |runtime: &&str| {
        let ran = cluster.run(&format!("test $(id -u) = 0 && cd probe && {runtime} run probe-{name}"));
        ran.code == 5 || {
            eprintln!("{runtime}: {} {}", ran.code, ran.stderr);
            false
        }
    };
    let Some(runtime) = RUNTIMES.into_iter().find(works) else {
        eprintln!("SKIPPED: not root, or neither crun nor runc can run a bundle on this machine");
        return None;
    };
    let conf = format!(
        "RunTimeRun=\"{runtime} run --bundle %b {name}.%n.%j.%s.%t\"\n\
         RunTimeDelete=\"{runtime} delete --force {name}.%n.%j.%s.%t\"\n{more}"
    );
    // Agents read it when they start.
    std::fs::write(cluster.path().join("oci.conf"), conf).expect("a configuration");
    nodes.iter().for_each(|node| cluster.kill(node));
    cluster.up(&[]);
    Some(runtime)
}

/// What no other cluster of this machine is called.
pub fn name(cluster: &Cluster) -> String {
    cluster.path().file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn make_bundle() -> String {
    format!(
        "mkdir -p bundle/rootfs/bin bundle/rootfs/etc bundle/rootfs/tmp bundle/rootfs/proc bundle/rootfs/dev bundle/rootfs/w
         for name in {PROGRAMS}; do
             file=$(command -v $name); case $file in /*) ;; *) file=/bin/$name; test -e $file || file=/usr/bin/$name ;; esac
             cp -L $file bundle/rootfs/bin/$name
             for library in $(ldd $file | grep -o '/[^ ]*'); do
                 mkdir -p bundle/rootfs$(dirname $library); cp -L $library bundle/rootfs$library
             done
         done
         cat > bundle/config.json <<END
         {{\"ociVersion\": \"1.0.0\", \"hostname\": \"inside\", \"root\": {{\"path\": \"rootfs\", \"readonly\": false}},
          \"process\": {{\"terminal\": true, \"user\": {{\"uid\": 0, \"gid\": 0}}, \"args\": [\"sh\"], \"cwd\": \"/tmp\",
                       \"env\": [\"PATH=/bin\", \"COLOR=bundle\"]}},
          \"mounts\": [{{\"destination\": \"/proc\", \"type\": \"proc\", \"source\": \"proc\"}},
                     {{\"destination\": \"/dev\", \"type\": \"tmpfs\", \"source\": \"tmpfs\"}},
                     {{\"destination\": \"/dev/pts\", \"type\": \"devpts\", \"source\": \"devpts\", \"options\": [\"newinstance\", \"ptmxmode=0666\"]}},
                     {{\"destination\": \"/w\", \"type\": \"none\", \"source\": \"$PWD\", \"options\": [\"bind\"]}}],
          \"linux\": {{\"namespaces\": [{{\"type\": \"pid\"}}, {{\"type\": \"mount\"}}, {{\"type\": \"uts\"}}]}}}}
END
         mkdir probe
         sed \"s#\\\"rootfs\\\"#\\\"$PWD/bundle/rootfs\\\"#\" bundle/config.json | sed 's/\"terminal\": true/\"terminal\": false/; s/\\[\"sh\"]/[\"sh\", \"-c\", \"exit 5\"]/' > probe/config.json"
    )
}
