//! The kinds of jobs that run during a drill, and what each leaves when nothing happens to it.

use std::fs;
use std::path::Path;

/// One kind of job.
pub struct Kind {
    /// Name of its job, with `-SEED` behind it.
    pub name: &'static str,
    /// The shell line that starts it. `@J` is the name of the job, `@T` how many seconds it is to take, `@I` where an option stands that has
    /// it run in a container of an image, in drills with such.
    pub line: &'static str,
    /// What its jobs end as, in the words of `sacct`, one for each.
    pub ends: &'static [&'static str],
    /// How the line ends.
    pub code: i32,
    /// Whether a job that lost a node is started again.
    pub comes_again: bool,
    /// Looks at what it has written into the directory; says what is wrong.
    pub check: fn(&Path) -> Result<(), String>,
}

/// All of them. A process that outlives its script by itself is among them.
pub const KINDS: &[Kind] = &[
    Kind {
        name: "batch",
        line: "sbatch -Q -J @J -o batch.job --wrap 'echo begin | tee -a batch.ran; setsid sleep 600 & sleep @T; echo end; exit 3'",
        ends: &["FAILED 3:0"],
        code: 0,
        comes_again: true,
        check: |dir| is(dir, "batch.job", "begin\nend\n"),
    },
    Kind {
        name: "array",
        line: "sbatch -Q -J @J -a 0-2 -o array.%a.job @I --wrap 'echo begin; sleep @T; echo end; exit $SLURM_ARRAY_TASK_ID'",
        ends: &["COMPLETED 0:0", "FAILED 1:0", "FAILED 2:0"],
        code: 0,
        comes_again: true,
        check: |dir| (0..3).try_for_each(|index| is(dir, &format!("array.{index}.job"), "begin\nend\n")),
    },
    Kind {
        name: "het",
        line: "printf '#!/bin/sh\\nsrun -Q -l --het-group=0,1 sh -c \"sleep @T; echo of \\$SLURM_NTASKS\" | sort\\nexit 2\\n' > het.sh
            sbatch -Q -J @J -n1 -o het.job : -n1 -J @J het.sh",
        ends: &["FAILED 2:0", "FAILED 2:0"],
        code: 0,
        // Where only the other component is hit, its script sees the step fail and goes on.
        comes_again: false,
        check: |dir| is(dir, "het.job", "0: of 2\n1: of 2\n"),
    },
    Kind {
        name: "input",
        line: "(seq 1000; sleep @T; seq 1001 20000) | srun -Q -J @J @I cat",
        ends: &["COMPLETED 0:0"],
        code: 0,
        comes_again: false,
        check: |dir| is(dir, "input.out", &(1..=20_000).map(|number| format!("{number}\n")).collect::<String>()),
    },
    Kind {
        name: "nodes",
        line: "srun -Q -J @J -N2 -n4 @I sh -c 'for i in 1 2 3 4; do echo $SLURM_PROCID $i; sleep @T; done; exit $SLURM_PROCID'",
        ends: &["FAILED 3:0"],
        code: 3,
        comes_again: false,
        check: |dir| {
            let text = read(dir, "nodes.out");
            (0..4).try_for_each(|rank| {
                let own = text.lines().filter_map(|line| line.strip_prefix(&format!("{rank} "))).collect::<String>();
                if own == "1234" { Ok(()) } else { Err(format!("rank {rank} wrote {own}: {text}")) }
            })
        },
    },
    Kind {
        name: "pty",
        line: "script -qec 'srun -Q -J @J @I --pty sh -c \"test -t 0 && echo begin; sleep @T; echo end; exit 6\"' /dev/null",
        ends: &["FAILED 6:0"],
        code: 6,
        comes_again: false,
        check: |dir| {
            // The terminal may echo the end of the input anywhere.
            let text = read(dir, "pty.out");
            let whole = text.contains("begin\r\n") && text.contains("end\r\n");
            if whole { Ok(()) } else { Err(format!("the terminal showed {text:?}")) }
        },
    },
    Kind {
        name: "shell",
        line: "printf 'echo in\\nsrun -Q -N2 sleep @T </dev/null\\nsrun -Q -n1 echo out </dev/null\\nexit 4\\n' | salloc -Q -J @J -N2 @I bash",
        ends: &["FAILED 4:0"],
        code: 4,
        comes_again: false,
        check: |dir| is(dir, "shell.out", "in\nout\n"),
    },
];

/// Those that are only in containers of an image.
pub const CONTAINED: &[Kind] = &[
    Kind {
        name: "script",
        line: "sbatch -Q -J @J -o script.job --container-image=test --wrap 'echo begin; sleep 600 & sleep @T; echo end; exit 3'",
        ends: &["FAILED 3:0"],
        code: 0,
        comes_again: true,
        check: |dir| is(dir, "script.job", "begin\nend\n"),
    },
    Kind {
        name: "task",
        line: "mkdir home; printf 'type: task\\nname: @J\\nimage: visited\\nvolumes: [\"%s:/w\"]\\ncommands: [\"echo begin > /w/task.job; sleep @T; echo end >> /w/task.job; exit 5\"]\\nresources: {cpu: 1.., memory: 100MB.., disk: 1GB..}\\n' $PWD > task.dstack.yml
            HOME=$PWD/home muster apply -f task.dstack.yml -y -d",
        ends: &["FAILED 5:0"],
        code: 0,
        comes_again: false,
        check: |dir| is(dir, "task.job", "begin\nend\n"),
    },
];

/// Those in OCI bundles.
pub const BUNDLED: &[Kind] = &[
    Kind {
        name: "bundle",
        line: "sbatch -Q -J @J -o bundle.job --container=$(readlink -f ../bundle) --wrap 'echo begin; sleep 600 & sleep @T; echo end; exit 3'",
        ends: &["FAILED 3:0"],
        code: 0,
        comes_again: true,
        check: |dir| is(dir, "bundle.job", "begin\nend\n"),
    },
    Kind {
        name: "bundles",
        line: "srun -Q -J @J -N2 -n4 --container=$(readlink -f ../bundle) sh -c 'sleep @T; echo end; exit 5'",
        ends: &["FAILED 5:0"],
        code: 5,
        comes_again: false,
        check: |dir| is(dir, "bundles.out", "end\nend\nend\nend\n"),
    },
];

impl Kind {
    /// Whether it may run in a container as well.
    pub fn may_be_contained(&self) -> bool {
        self.line.contains("@I")
    }
}

/// A file of the round; empty when it does not exist.
pub fn read(dir: &Path, name: &str) -> String {
    String::from_utf8_lossy(&fs::read(dir.join(name)).unwrap_or_default()).into_owned()
}

fn is(dir: &Path, name: &str, expected: &str) -> Result<(), String> {
    let found = read(dir, name);
    if found == expected {
        return Ok(());
    }
    let shown = |text: &str| format!("{:?} ({} bytes)", text.chars().take(200).collect::<String>(), text.len());
    Err(format!("{name} holds {} instead of {}", shown(&found), shown(expected)))
}
