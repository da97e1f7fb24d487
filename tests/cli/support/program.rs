//! Running the program in a folder of its own.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::sync::LazyLock;

use assert_cmd::Command;
use serde_json::Value;
use tempfile::TempDir;

/// A folder to run in, and the program to run there.
pub struct Workplace {
    folder: TempDir,
}

/// What a run came to.
pub struct Run {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Workplace {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder") }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The program, which knows nothing of the user's own settings.
    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_laser-scan"));
        for (variable, _) in std::env::vars().filter(|(name, _)| name.starts_with("HF_") || name.starts_with("HUGGING"))
        {
            command.env_remove(variable);
        }
        for variable in ["NO_COLOR", "XDG_CACHE_HOME", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"] {
            command.env_remove(variable);
        }
        command.env("HOME", self.folder.path()).env("NO_PROXY", "*").current_dir(self.folder.path());
        command
    }

    /// Starts the program, to go on beside the test; it ends with it.
    pub fn start(&self, arguments: &[&str], variables: &[(&str, String)]) -> Running {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_laser-scan"));
        for (variable, _) in std::env::vars().filter(|(name, _)| name.starts_with("HF_")) {
            command.env_remove(variable);
        }
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .envs(variables.iter().map(|(name, value)| (name, value)));
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Running { child: Some(command.spawn().expect("starts")) }
    }

    /// Runs the program with these arguments.
    pub fn run(&self, arguments: &[&str]) -> Run {
        finish(self.command().args(arguments))
    }

    /// The names of the modules that a dry run of `model` finds.
    pub fn modules(&self, model: &str, arguments: &[&str]) -> Vec<String> {
        let run = self.run(&[&["--model", model, "--dry-run", "--json"], arguments].concat());
        let plan: Value = serde_json::from_str(&run.succeeded().stdout).expect("JSON");
        let modules = plan["modules"].as_array().expect("modules").iter();
        modules.map(|module| module["module"].as_str().expect("a name").to_owned()).collect()
    }

    /// Writes files, with the folders that they are in.
    pub fn write(&self, files: &[(&str, &[u8])]) {
        for (name, content) in files {
            let path = self.path(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("created");
            fs::write(path, content).expect("written");
        }
    }

    pub fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&fs::read(self.path(name)).expect("written")).expect("JSON")
    }

    pub fn bytes(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// The names of the files in the folder.
    pub fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).expect("readable").flatten();
        let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

/// A program that is running.
pub struct Running {
    child: Option<Child>,
}

impl Running {
    pub fn id(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    /// What it says on standard error from now on, line by line, as it comes.
    pub fn news(&mut self) -> impl Iterator<Item = String> + use<> {
        let stderr = self.child.as_mut().and_then(|child| child.stderr.take()).expect("nobody else reads it");
        BufReader::new(stderr).lines().map(|line| line.expect("UTF-8"))
    }

    /// Ends it as `kill -9` does.
    pub fn kill(mut self) {
        let mut child = self.child.take().expect("running");
        child.kill().expect("killed");
        child.wait().expect("ends");
    }

    /// Waits until it ends.
    pub fn wait(mut self) -> Output {
        self.child.take().expect("running").wait_with_output().expect("ends")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Runs a command to its end.
pub fn finish(command: &mut Command) -> Run {
    let output = command.output().expect("runs");
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    Run { status: output.status.code().unwrap_or(-1), stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

impl Run {
    /// Checks that the run failed with `status` and one clear sentence that says all of `parts`, and printed nothing.
    #[track_caller]
    pub fn refused(&self, status: i32, parts: &[&str]) {
        assert_eq!(self.status, status, "{}", self.stderr);
        assert_eq!(self.stdout, "");
        for part in parts {
            assert!(self.stderr.contains(part), "'{part}' is not in: {}", self.stderr);
        }
        let errors: Vec<&str> = self.stderr.lines().filter(|line| line.starts_with("error: ")).collect();
        assert_eq!(errors.len(), 1, "{}", self.stderr);
        assert!(!self.stderr.contains("panicked") && !self.stderr.contains("stack backtrace"), "{}", self.stderr);
    }

    /// Checks that the run succeeded.
    #[track_caller]
    pub fn succeeded(&self) -> &Self {
        assert_eq!(self.status, 0, "{}", self.stderr);
        self
    }
}

/// The tiny model that the project ships.
pub fn tiny_mistral() -> String {
    in_project("examples/tiny-mistral")
}

/// A path within the project.
pub fn in_project(path: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path).to_str().expect("UTF-8").to_owned()
}

/// The names of the entries of a folder within the project, without their extensions.
pub fn entries(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(in_project(folder)).expect("readable").flatten();
    let mut names: Vec<String> =
        entries.filter_map(|entry| Some(entry.path().file_stem()?.to_str()?.to_owned())).collect();
    names.sort();
    names
}

/// The devices that this build can compute on here, as `--device` calls them: the CPU, and the first GPU if there is one.
pub fn devices() -> &'static [&'static str] {
    static DEVICES: LazyLock<Vec<&str>> = LazyLock::new(|| {
        let place = Workplace::new();
        let run = place.run(&["--model", &tiny_mistral(), "--dry-run", "--device", "cuda"]);
        assert!(run.status == 0 || std::env::var_os("LASER_SCAN_NEEDS_GPU").is_none(), "{}", run.stderr);
        if run.status == 0 { vec!["cpu", "cuda"] } else { vec!["cpu"] }
    });
    &DEVICES
}
