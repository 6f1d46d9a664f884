//! `cargo xtask dist`: the release archive, in `dist/`.
//!
//! `muster-VERSION-TARGET.tar.gz` unpacks over a prefix such as `/usr/local`: the program, shell
//! completions and manual pages where shells and `man` look for them, what is placed into containers, and the licence. The same
//! commit gives the same bytes: names are sorted, owners are root, times are the commit's.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::workspace::{call, capture, cargo};

const OUTPUT: &str = "dist";

/// Shells with completions: name as `muster completions` knows it, and where the file belongs.
const SHELLS: &[(&str, &str)] = &[
    ("bash", "share/bash-completion/completions/muster"),
    ("zsh", "share/zsh/site-functions/_muster"),
    ("fish", "share/fish/vendor_completions.d/muster.fish"),
];

const DOCUMENTS: &[&str] = &["LICENSE", "README.md", "CHANGELOG.md"];

/// Builds the archive. `--partial` makes it even when the program gives no completions or pages.
pub(crate) fn run(args: &[String]) -> Result<ExitCode> {
    let is_partial_allowed = match args {
        [] => false,
        [flag] if flag == "--partial" => true,
        _ => bail!("dist takes only --partial, but got {args:?}"),
    };
    call(cargo().args(["build", "--release", "--locked", "--package", "muster"]))?;
    let build = Build::describe()?;
    build_runner(&build.host)?;

    let name = format!("muster-{}-{}", build.version, build.host);
    let tree = Path::new(OUTPUT).join(&name);
    if tree.exists() {
        fs::remove_dir_all(&tree).with_context(|| format!("cannot remove {}", tree.display()))?;
    }
    // The directory ignores itself, so that an archive is never committed by accident.
    write(&Path::new(OUTPUT).join(".gitignore"), b"*\n")?;
    copy(&build.program, &tree.join("bin/muster"))?;
    copy(&build.runner, &tree.join("libexec/muster/muster-runner"))?;
    for document in DOCUMENTS {
        copy(Path::new(document), &tree.join("share/doc/muster").join(document))?;
    }

    let missing = generate(&build.program, &tree)?;
    for problem in &missing {
        eprintln!("dist: {problem}");
    }
    if !missing.is_empty() && !is_partial_allowed {
        bail!("{} parts are missing; `cargo xtask dist --partial` makes the archive without them", missing.len());
    }

    let archive = pack(&name)?;
    fs::remove_dir_all(&tree).with_context(|| format!("cannot remove {}", tree.display()))?;
    println!("{}", archive.display());
    Ok(ExitCode::SUCCESS)
}

/// What was built.
struct Build {
    program: PathBuf,
    runner: PathBuf,
    version: String,
    /// The target triple of this machine; dist does not cross-compile.
    host: String,
}

impl Build {
    fn describe() -> Result<Self> {
        let text = capture(cargo().args(["metadata", "--format-version", "1", "--no-deps", "--locked", "--offline"]))?;
        let metadata: Value = serde_json::from_str(&text).context("cannot parse `cargo metadata`")?;
        let target = metadata["target_directory"].as_str().context("cargo metadata: no target_directory")?;
        let packages = metadata["packages"].as_array().context("cargo metadata: no packages")?;
        let muster = packages.iter().find(|package| package["name"] == "muster");
        let version = muster.and_then(|package| package["version"].as_str());

        let rustc = capture(Command::new("rustc").arg("--version").arg("--verbose"))?;
        let host = rustc.lines().find_map(|line| line.strip_prefix("host: ")).context("`rustc -vV` names no host")?;
        Ok(Build {
            program: Path::new(target).join("release/muster"),
            runner: Path::new(target).join(host).join("release/muster-runner"),
            version: version.context("cargo metadata: no package muster")?.to_owned(),
            host: host.to_owned(),
        })
    }
}

/// Builds what runs inside containers: it must not need anything of their images, so it is linked statically. Naming
/// the target keeps its flags, and its files, apart from those of everything else.
fn build_runner(host: &str) -> Result<()> {
    let flags = "-C target-feature=+crt-static";
    call(cargo().env("RUSTFLAGS", flags).args([
        "build",
        "--release",
        "--locked",
        "--package",
        "muster-runner",
        "--target",
        host,
    ]))
}

/// Lets the program write its completions and manual pages; tells which of them it could not.
fn generate(program: &Path, tree: &Path) -> Result<Vec<String>> {
    let mut missing = Vec::new();
    for (shell, place) in SHELLS {
        match ask(program, &["completions", shell]) {
            Ok(text) if text.is_empty() => missing.push(format!("no completions for {shell}: nothing was printed")),
            Ok(text) => write(&tree.join(place), &text)?,
            Err(error) => missing.push(format!("no completions for {shell}: {error:#}")),
        }
    }
    let pages = tree.join("share/man/man1");
    fs::create_dir_all(&pages).with_context(|| format!("cannot create {}", pages.display()))?;
    let outcome = ask(program, &["man", &pages.to_string_lossy()]);
    let is_empty = fs::read_dir(&pages).with_context(|| format!("cannot list {}", pages.display()))?.next().is_none();
    match outcome {
        Err(error) => missing.push(format!("no manual pages: {error:#}")),
        Ok(_) if is_empty => missing.push(format!("no manual pages: none was written to {}", pages.display())),
        Ok(_) => {}
    }
    Ok(missing)
}

fn ask(program: &Path, args: &[&str]) -> Result<Vec<u8>> {
    let shown = format!("{} {}", program.display(), args.join(" "));
    let output = Command::new(program).args(args).output().with_context(|| format!("cannot run `{shown}`"))?;
    if !output.status.success() {
        let talk = String::from_utf8_lossy(&output.stderr);
        bail!("`{shown}` ended with {}: {}", output.status, talk.trim());
    }
    Ok(output.stdout)
}

/// Makes `dist/NAME.tar.gz` from `dist/NAME`, and its checksum beside it.
fn pack(name: &str) -> Result<PathBuf> {
    let time =
        capture(Command::new("git").args(["log", "-1", "--format=%ct"])).context("cannot tell the commit's time")?;
    let archive = format!("{name}.tar.gz");
    call(
        Command::new("tar")
            .args(["--create", "--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--mode=u+rw,go=rX"])
            .arg(format!("--mtime=@{}", time.trim()))
            .args(["--use-compress-program=gzip --no-name --best", "--file", &archive, name])
            .current_dir(OUTPUT),
    )?;
    let checksum = capture(Command::new("sha256sum").arg(&archive).current_dir(OUTPUT))?;
    let path = Path::new(OUTPUT).join(&archive);
    write(&Path::new(OUTPUT).join(format!("{archive}.sha256")), checksum.as_bytes())?;
    Ok(path)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    make_parent(to)?;
    fs::copy(from, to).with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    Ok(())
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    make_parent(path)?;
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

fn make_parent(path: &Path) -> Result<()> {
    let Some(parent) = path.parent() else {
        return Ok(());
    };
    fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))
}
