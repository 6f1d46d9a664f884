//! A directory, a program and a library in place of the machine.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use super::*;

/// Writes files below a new directory: `path=content`, with `\n` for new lines.
fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (path, content) in files {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    root
}

fn world(root: &tempfile::TempDir) -> World {
    World { root: root.path().into(), nvml: Vec::new(), nvidia_smi: "/no/such/nvidia-smi".into() }
}

/// Each GPU as `kind files cpus links id bus`.
fn shown(found: &Found) -> Vec<String> {
    let or_dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
    let numbers = |numbers: Vec<String>| or_dash(numbers.join(","));
    let line = |gpu: &Gpu| {
        let cpus = gpu.cpus.iter().flatten().map(u32::to_string).collect();
        let links = gpu.links.iter().map(i32::to_string).collect();
        let id = or_dash(gpu.unique_id.clone().unwrap_or_default());
        let files = gpu.files.join("+").replace("/dev/", "");
        format!("{} {files} {} {} {id} {}", gpu.kind, numbers(cpus), numbers(links), or_dash(gpu.bus.clone()))
    };
    found.gpus.iter().map(line).collect()
}

/// Compiles the library that stands for NVIDIA's, which answers with the cards of `script`, one a line; see its source.
pub(crate) fn fake_library(dir: &Path, script: &str) -> OsString {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fake_nvml.c");
    let (library, cards) = (dir.join("libfake-nvml.so"), dir.join("cards"));
    fs::write(&cards, script).unwrap();
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-Wall", "-Werror", "-o"])
        .arg(&library)
        .arg(format!("-DCARDS=\"{}\"", cards.display()))
        .arg(source)
        .output()
        .expect("a C compiler");
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    library.into_os_string()
}

const CPUS: &[(&str, &str)] = &[
    ("sys/bus/pci/devices/0000:07:00.0/local_cpulist", "0-1\n"),
    ("sys/bus/pci/devices/0000:0f:00.0/local_cpulist", "2-3\n"),
];

#[test]
fn the_library_tells_names_places_links_and_parts() {
    let root = root(CPUS);
    let mut world = world(&root);
    // In another order than that of the bus.
    let cards = "card 1 NVIDIA A100-SXM4-40GB|GPU-b|00000000:0F:00.0\nlink 00000000:07:00.0\nlink 00000000:07:00.0\n\
                 card 0 NVIDIA A100-SXM4-40GB|GPU-a|00000000:07:00.0\nlink 00000000:0F:00.0\nlink 00000000:0F:00.0\n";
    world.nvml = vec!["/no/such/library.so".into(), fake_library(root.path(), cards)];
    let found = find(Method::Nvml, &world);
    let expected = [
        "nvidia_a100-sxm4-40gb nvidia0 0,1 -1,2 - 0000:07:00.0",
        "nvidia_a100-sxm4-40gb nvidia1 2,3 2,-1 - 0000:0f:00.0",
    ];
    assert_eq!((shown(&found).as_slice(), found.notes.as_slice()), (&expected.map(str::to_owned)[..], &[][..]));

    // One is divided, one is gone from the bus.
    let minors =
        "config 1\nmonitor 2\ngpu0/gi1/access 12\ngpu0/gi1/ci0/access 13\ngpu0/gi5/access 48\ngpu0/gi5/ci2/access 51\n";
    fs::create_dir_all(root.path().join("proc/driver/nvidia-caps")).unwrap();
    fs::write(root.path().join("proc/driver/nvidia-caps/mig-minors"), minors).unwrap();
    let cards = "card 0 NVIDIA A100-SXM4-40GB|GPU-a|00000000:07:00.0\npart 1 0 MIG-x 3 3 20096\npart 5 2 MIG-y 2 1 9984\n\
                 lost\n";
    fs::write(root.path().join("cards"), cards).unwrap();
    let found = find(Method::Nvml, &world);
    let expected = [
        "nvidia_a100-sxm4-40gb_3g.20gb nvidia0+nvidia-caps/nvidia-cap12+nvidia-caps/nvidia-cap13 0,1 - MIG-x 0000:07:00.0",
        "nvidia_a100-sxm4-40gb_1c.2g.10gb nvidia0+nvidia-caps/nvidia-cap48+nvidia-caps/nvidia-cap51 0,1 - MIG-y 0000:07:00.0",
    ];
    assert_eq!(shown(&found), expected);
    assert_eq!(found.notes, ["GPU 1 does not answer: nvmlDeviceGetHandleByIndex_v2: GPU is lost"]);
}

#[test]
fn a_broken_library_is_told_and_passed_over() {
    let root = root(&[("proc/driver/nvidia/gpus/0000:07:00.0/information", INFORMATION)]);
    let mut world = world(&root);
    world.nvml = vec![fake_library(root.path(), "broken\n")];
    let found = find(Method::Nvml, &world);
    assert_eq!(shown(&found), ["nvidia_a100-sxm4-40gb nvidia3 - - - 0000:07:00.0"]);
    let notes =
        ["nvmlInit_v2: Driver Not Loaded", "cannot run /no/such/nvidia-smi: No such file or directory (os error 2)"];
    assert_eq!(found.notes, notes);
}

const INFORMATION: &str = "Model: \t\t NVIDIA A100-SXM4-40GB\nIRQ:   \t\t 12\nGPU UUID: \t GPU-a\nBus Location: \t 0000:07:00.0\n\
                           Device Minor: \t 3\n";

#[test]
fn the_driver_and_nvidia_smi_stand_in_for_the_library() {
    let found = find(Method::Nvidia, &world(&root(&[])));
    assert_eq!(found, Found { gpus: Vec::new(), way: Way::Kernel, notes: Vec::new() });
    let information = |path: &'static str| [&[(path, INFORMATION)], CPUS].concat();
    let machine = root(&information("proc/driver/nvidia/gpus/0000:0f:00.0/information"));
    let found = find(Method::Nvidia, &world(&machine));
    assert_eq!(shown(&found), ["nvidia_a100-sxm4-40gb nvidia3 2,3 - - 0000:0f:00.0"]);

    let machine = root(CPUS);
    let script = machine.path().join("nvidia-smi");
    let gpu = |bus: &str, minor: u32, uuid: &str, parts: &str| {
        format!(
            "<gpu id=\"{bus}\"><product_name>NVIDIA A100-SXM4-40GB</product_name><mig_devices>{parts}</mig_devices>\
             <uuid>{uuid}</uuid><minor_number>{minor}</minor_number></gpu>"
        )
    };
    let part = |gi: u32, ci: u32| {
        format!(
            "<mig_device><index>0</index><gpu_instance_id>{gi}</gpu_instance_id><compute_instance_id>{ci}</compute_instance_id></mig_device>"
        )
    };
    let report = gpu("00000000:0F:00.0", 1, "GPU-b", &format!("{}{}", part(1, 0), part(2, 0)))
        + &gpu("00000000:07:00.0", 0, "GPU-a", "None");
    let list = "GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-a)\nGPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-b)\n  \
                MIG 3g.20gb     Device  0: (UUID: MIG-x)\n  MIG 1g.5gb      Device  1: (UUID: MIG-y)\n";
    fs::write(
        &script,
        format!("#!/bin/sh\nif [ \"$1\" = -L ]; then cat <<'E'\n{list}E\nelse cat <<'E'\n{report}\nE\nfi\n"),
    )
    .unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let world = World { nvidia_smi: script.into_os_string(), ..world(&machine) };
    let found = find(Method::Nvml, &world);
    let expected = [
        "nvidia_a100-sxm4-40gb nvidia0 0,1 - - 0000:07:00.0",
        "nvidia_a100-sxm4-40gb_3g.20gb nvidia1 2,3 - MIG-x 0000:0f:00.0",
        "nvidia_a100-sxm4-40gb_1g.5gb nvidia1 2,3 - MIG-y 0000:0f:00.0",
    ];
    assert_eq!(shown(&found), expected);
    assert_eq!(found.notes, ["the library NVML is not there"]);
    fs::write(world.nvidia_smi.clone(), "#!/bin/sh\necho 'NVIDIA-SMI has failed'; exit 9\n").unwrap();
    let found = find(Method::Nvml, &world);
    let text = format!("{} failed (exit status: 9): NVIDIA-SMI has failed", world.nvidia_smi.to_string_lossy());
    assert_eq!((found.gpus.len(), &found.notes[1]), (0, &text));
}

#[test]
fn use_of_amd_gpus_is_the_kernels() {
    let root = root(&[
        ("sys/class/kfd/kfd/topology/nodes/1/properties", "simd_count 416\nsimd_per_cu 4\ndrm_render_minor 128\n"),
        ("sys/class/kfd/kfd/topology/nodes/1/gpu_id", "4711\n"),
        ("sys/class/kfd/kfd/proc/77/vram_4711", "2097152\n"),
        ("sys/class/kfd/kfd/proc/77/stats_4711/cu_occupancy", "52\n"),
        ("sys/class/kfd/kfd/proc/78/vram_4711", "0\n"),
        ("sys/class/drm/renderD128/device/hwmon/hwmon3/energy1_input", "7500000\n"),
    ]);
    let world = world(&root);
    let seen = usage::by_process(&world);
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[&77], usage::GpuUse { percent: 50, memory_kb: 2048 });
    assert_eq!(usage::energy_mj(&world, &["/dev/dri/renderD128".to_owned()]), Some(7500));
    assert_eq!(usage::energy_mj(&world, &["/dev/dri/renderD129".to_owned()]), None);
}

#[test]
fn amd_intel_and_neuron_devices_are_the_kernels() {
    let node = |number: u32, properties: &str| {
        (format!("sys/class/kfd/kfd/topology/nodes/{number}/properties"), properties.to_owned())
    };
    let link = |from: u32, kind: u32, to: u32| {
        let text = format!("type {kind}\nnode_from {from}\nnode_to {to}\n");
        (format!("sys/class/kfd/kfd/topology/nodes/{from}/io_links/0/properties"), text)
    };
    let files = [
        node(0, "cpu_cores_count 64\nsimd_count 0\n"),
        node(1, "simd_count 440\ndrm_render_minor 128\nlocation_id 1792\ndomain 0\n"),
        node(2, "simd_count 440\ndrm_render_minor 129\nlocation_id 3840\ndomain 0\n"),
        link(1, 11, 2),
        link(2, 2, 1),
        ("sys/class/kfd/kfd/topology/nodes/1/name".into(), "aldebaran\n".into()),
        ("sys/class/kfd/kfd/topology/nodes/2/name".into(), "aldebaran\n".into()),
        ("sys/class/drm/renderD129/device/product_name".into(), "AMD Instinct MI210\n".into()),
        ("sys/class/drm/renderD130/device/vendor".into(), "0x8086\n".into()),
        ("sys/class/drm/renderD130/device/device".into(), "0x0bd5\n".into()),
        ("sys/class/drm/renderD130/device/uevent".into(), "DRIVER=i915\nPCI_SLOT_NAME=0000:29:00.0\n".into()),
        ("sys/class/drm/renderD129/device/vendor".into(), "0x1002\n".into()),
        ("sys/devices/virtual/neuron_device/neuron0/connected_devices".into(), "1, 4\n".into()),
        ("sys/devices/virtual/neuron_device/neuron0/info/architecture/instance_type".into(), "Trn1\n".into()),
        ("sys/devices/virtual/neuron_device/neuron1/connected_devices".into(), "0\n".into()),
    ];
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let root = root(&[&files, CPUS].concat());
    let check = |method, expected: &[&str]| assert_eq!(shown(&find(method, &world(&root))), expected);
    check(
        Method::Rsmi,
        &[
            "aldebaran dri/renderD128 0,1 -1,1 - 0000:07:00.0",
            "amd_instinct_mi210 dri/renderD129 2,3 0,-1 - 0000:0f:00.0",
        ],
    );
    check(Method::OneApi, &["intel_gpu_0bd5 dri/renderD130 - - - 0000:29:00.0"]);
    check(Method::Nrt, &["trn1 neuron0 - -1,1 - -", "neuron neuron1 - 1,-1 - -"]);
}
