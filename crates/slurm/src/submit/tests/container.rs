//! Containers: option text in, request out.

use super::*;

fn check_step(environment: &str, line: &str, expected: &str) {
    let shown = match srun_plan(environment, &format!("{line} true")) {
        Ok(plan) => plan.stderr + &plan.launch.container.map_or("none".to_owned(), |request| json(&request)),
        Err(exit) => end(&exit),
    };
    assert_eq!(shown, expected, "{environment} {line}");
}

fn json(request: &muster_model::container::ContainerRequest) -> String {
    serde_json::to_string(request).unwrap()
}

#[test]
fn options_and_variables_ask_for_a_container() {
    check_step("", "", "none");
    check_step("", "--container-image=nvcr.io#a:b", r#"{"image":"nvcr.io#a:b"}"#);
    check_step("PYXIS_CONTAINER_IMAGE=a", "--container-image=b", r#"{"image":"b"}"#);
    check_step("", "--container-name=n:exec", r#"{"name":{"name":"n","mode":"exec"}}"#);
    let all = "--container-image=a --container-mounts=/b:/c:ro --container-mounts=/d --container-workdir=/w \
               --container-mount-home --container-entrypoint --container-readonly --container-env=X,Y";
    let expected = r#"{"image":"a","mounts":[{"source":{"path":"/b"},"target":"/c","read_only":true},{"source":{"path":"/d"},"target":"/d"}],"work_dir":"/w","mount_home":true,"entrypoint":true,"read_only":true,"environment":["X","Y"]}"#;
    check_step("", all, expected);
    let mounts = r#"{"image":"a","mounts":[{"source":{"path":"/b"},"target":"/b"}]}"#;
    check_step("PYXIS_CONTAINER_MOUNTS=/x", "--container-image=a --container-mounts=/b", mounts);
    check_step("PYXIS_CONTAINER_WRITABLE=0", "--container-image=a", r#"{"image":"a","read_only":true}"#);
    check_step("PYXIS_CONTAINER_WRITABLE=0", "--container-image=a --container-writable", r#"{"image":"a"}"#);
    check_step("PYXIS_CONTAINER_MOUNT_HOME=1", "--container-image=a --no-container-mount-home", r#"{"image":"a"}"#);
    check_step("", "--container-image=a --no-container-entrypoint", r#"{"image":"a","no_entrypoint":true}"#);
}

#[test]
fn what_makes_no_sense_is_said_as_pyxis_says_it() {
    check_step(
        "",
        "--container-workdir=/x",
        "srun: error: pyxis: ignoring --container-workdir because neither --container-image nor --container-name is set\nnone",
    );
    check_step(
        "",
        "--container-image=a --container-writable --container-readonly",
        "srun: error: pyxis: both --container-readonly and --container-writable were specified\nexit 255",
    );
    check_step(
        "",
        "--container-name=:create",
        "srun: error: pyxis: --container-name: empty name\n\
         srun: error: Invalid --container-name argument: :create\nexit 255",
    );
    check_step(
        "",
        "--container-image=./a.sqsh",
        "srun: error: pyxis: --container-image: ./a.sqsh: files of images cannot be run, only images of a registry or of Docker\n\
         srun: error: Invalid --container-image argument: ./a.sqsh\nexit 255",
    );
    check_step(
        "",
        "--container-image=a --container-remap-root",
        "srun: error: pyxis: --container-remap-root is not supported: the user in a container is that of the job\nexit 255",
    );
    check_step("", "--container-image=a --no-container-remap-root", r#"{"image":"a"}"#);
    check_step(
        "",
        "--container-image=a --container-save=/x.sqsh",
        "srun: error: pyxis: --container-save: containers cannot be saved to files; --container-name keeps them\n\
         srun: error: Invalid --container-save argument: /x.sqsh\nexit 255",
    );
}

#[test]
fn scripts_run_in_containers_and_allocations_hand_them_on() {
    let plan = sbatch_plan("", "s.sh", "#!/bin/sh\n#SBATCH --container-image=a\n").unwrap();
    assert_eq!(json(plan.spec.rare.unwrap().container.as_ref().unwrap()), r#"{"image":"a"}"#);
    let line = words(
        "--container-image=a --container-mounts=/a --container-mounts=/b --container-mount-home --no-container-entrypoint true",
    );
    let plan = around("PYXIS_CONTAINER_IMAGE=b", &[], "", |around| salloc::plan(&line, around)).unwrap();
    let handed: Vec<&String> = plan.environment.iter().filter(|line| line.starts_with("PYXIS")).collect();
    assert_eq!(
        handed,
        [
            "PYXIS_CONTAINER_IMAGE=a",
            "PYXIS_CONTAINER_MOUNTS=/a,/b",
            "PYXIS_CONTAINER_MOUNT_HOME=1",
            "PYXIS_CONTAINER_ENTRYPOINT=0"
        ]
    );
}
