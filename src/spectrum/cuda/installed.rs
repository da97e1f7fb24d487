//! Where NVIDIA's libraries are installed: by its own installer, by conda, and by pip beside PyTorch.
//!
//! The loader finds those that a person has told it of, by `LD_LIBRARY_PATH` or `ld.so.conf`. Most people have told it nothing: their
//! libraries came with PyTorch into a virtual environment.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// A version of CUDA, and its libraries that singular values need.
#[derive(Debug, PartialEq, Eq)]
pub struct Version {
    pub major: u32,
    pub cublas: &'static str,
    pub cusolver: &'static str,
    /// What these two need themselves. The loader does not find it where it lies in another folder.
    pub needed: &'static [&'static str],
}

/// The versions whose functions are those that this program calls, the newest first.
pub const VERSIONS: [Version; 2] = [
    Version {
        major: 13,
        cublas: "libcublas.so.13",
        cusolver: "libcusolver.so.12",
        needed: &["libnvJitLink.so.13", "libcublasLt.so.13", "libcusparse.so.12"],
    },
    Version {
        major: 12,
        cublas: "libcublas.so.12",
        cusolver: "libcusolver.so.11",
        needed: &["libnvJitLink.so.12", "libcublasLt.so.12", "libcusparse.so.12"],
    },
];

/// The folders below `site-packages` in which pip installs the libraries of a version together.
const TOGETHER: [&str; 2] = ["nvidia/cu13/lib", "nvidia/cu12/lib"];

/// Those in which older packages have a library each.
const APART: [&str; 4] = ["nvidia/cublas/lib", "nvidia/cusolver/lib", "nvidia/cusparse/lib", "nvidia/nvjitlink/lib"];

/// What tells where a person's programs are.
#[derive(Debug, Default)]
pub struct Surroundings {
    /// `CUDA_HOME` and `CUDA_PATH`.
    pub toolkits: Vec<PathBuf>,
    /// The folders of `/usr/local` in which NVIDIA's installer puts toolkits, and of distributions.
    pub system: Vec<PathBuf>,
    pub conda: Option<PathBuf>,
    pub virtual_env: Option<PathBuf>,
    /// The folder above that of this program, which is an environment if pip has installed it.
    pub own: Option<PathBuf>,
    /// The folder above that of `python3`.
    pub python: Option<PathBuf>,
    pub home: Option<PathBuf>,
}

impl Surroundings {
    pub fn of_process() -> Self {
        let variable = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let above = |program: PathBuf| Some(program.parent()?.parent()?.to_owned());
        let python = || {
            let folders = env::var_os("PATH")?;
            // What a virtual environment has under this name is a link to another, but its packages are its own.
            env::split_paths(&folders).map(|folder| folder.join("python3")).find(|python| python.is_file())
        };
        Self {
            toolkits: ["CUDA_HOME", "CUDA_PATH"].into_iter().filter_map(variable).collect(),
            system: system(Path::new("/usr/local"), Path::new("/opt/cuda")),
            conda: variable("CONDA_PREFIX"),
            virtual_env: variable("VIRTUAL_ENV"),
            own: env::current_exe().ok().and_then(above),
            python: python().and_then(above),
            home: variable("HOME"),
        }
    }

    /// The places where libraries may be, the likeliest first. Each is one or more folders that belong together.
    pub fn places(&self) -> Vec<Vec<PathBuf>> {
        let toolkits = self.toolkits.iter().chain(&self.system).flat_map(|toolkit| {
            // The second is where NVIDIA's packages and conda's have what `lib64` leads to.
            ["lib64", "targets/x86_64-linux/lib", "targets/sbsa-linux/lib"].map(|folder| vec![toolkit.join(folder)])
        });
        let conda = self.conda.iter().map(|conda| vec![conda.join("lib")]);
        let environments = [&self.virtual_env, &self.conda, &self.own, &self.python];
        let local = self.home.as_ref().map(|home| home.join(".local"));
        let environments = environments.into_iter().flatten().cloned().chain(local);
        let mut places: Vec<Vec<PathBuf>> = toolkits.chain(conda).collect();
        for packages in environments.flat_map(|environment| packages(&environment)) {
            places.extend(TOGETHER.map(|folder| vec![packages.join(folder)]));
            places.push(APART.map(|folder| packages.join(folder)).to_vec());
        }
        places
    }
}

/// The toolkits in `local`, the newest first, and the one at `other`.
fn system(local: &Path, other: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(local).into_iter().flatten().flatten();
    let is_toolkit = |entry: &fs::DirEntry| entry.file_name().to_str().is_some_and(|name| name.starts_with("cuda"));
    let mut toolkits: Vec<PathBuf> = entries.filter(is_toolkit).map(|entry| entry.path()).collect();
    // `cuda` itself leads to the one that was chosen, and comes first.
    toolkits
        .sort_by_key(|path| (path.file_name().is_some_and(|name| name != "cuda"), std::cmp::Reverse(version_of(path))));
    toolkits.push(other.to_owned());
    toolkits
}

/// The numbers in a toolkit's name, such as `cuda-13.1`.
fn version_of(toolkit: &Path) -> Vec<u32> {
    let name = toolkit.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.split(|letter: char| !letter.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
}

/// The folders of Python's packages in an environment: those of every version, of pip's and of Debian's.
fn packages(environment: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for library in ["lib", "local/lib", "lib64"] {
        let entries = fs::read_dir(environment.join(library)).into_iter().flatten().flatten();
        let is_python =
            |entry: &fs::DirEntry| entry.file_name().to_str().is_some_and(|name| name.starts_with("python3"));
        let mut versions: Vec<PathBuf> = entries.filter(is_python).map(|entry| entry.path()).collect();
        versions.sort_unstable();
        found.extend(versions.into_iter().rev().flat_map(|python| {
            ["site-packages", "dist-packages"]
                .map(|packages| python.join(packages))
                .into_iter()
                .filter(|folder| folder.is_dir())
        }));
    }
    found
}

/// The file called `name` in one of these `folders`.
pub fn file(folders: &[PathBuf], name: &str) -> Option<PathBuf> {
    folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(root: &Path, file: &str) {
        let path = root.join(file);
        fs::create_dir_all(path.parent().expect("a folder")).expect("created");
        fs::write(path, "").expect("written");
    }

    /// Where cuBLAS of this version is found first.
    fn found(surroundings: &Surroundings, version: &Version) -> Option<PathBuf> {
        surroundings.places().iter().find_map(|folders| file(folders, version.cublas))
    }

    #[test]
    fn libraries_are_found_where_people_have_them() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path();
        let [new, old] = &VERSIONS;
        let of = |set: &dyn Fn(&mut Surroundings)| {
            let mut surroundings = Surroundings::default();
            set(&mut surroundings);
            surroundings
        };
        touch(root, "toolkit/lib64/libcublas.so.13");
        touch(root, "conda/lib/libcublas.so.13");
        touch(root, "venv/lib/python3.11/site-packages/nvidia/cu13/lib/libcublas.so.13");
        touch(root, "venv/lib/python3.11/site-packages/nvidia/cublas/lib/libcublas.so.12");
        touch(root, "debian/local/lib/python3.13/dist-packages/nvidia/cu13/lib/libcublas.so.13");
        touch(root, "home/.local/lib/python3.12/site-packages/nvidia/cu13/lib/libcublas.so.13");
        let path = |name: &str| Some(root.join(name));
        for (set, place) in [
            (
                &(|it: &mut Surroundings| it.toolkits = vec![root.join("toolkit")]) as &dyn Fn(&mut Surroundings),
                "toolkit/lib64",
            ),
            (&|it| it.system = vec![root.join("nothing"), root.join("toolkit")], "toolkit/lib64"),
            (&|it| it.conda = path("conda"), "conda/lib"),
            (&|it| it.virtual_env = path("venv"), "venv/lib/python3.11/site-packages/nvidia/cu13/lib"),
            (&|it| it.own = path("venv"), "venv/lib/python3.11/site-packages/nvidia/cu13/lib"),
            (&|it| it.python = path("debian"), "debian/local/lib/python3.13/dist-packages/nvidia/cu13/lib"),
            (&|it| it.home = path("home"), "home/.local/lib/python3.12/site-packages/nvidia/cu13/lib"),
        ] {
            assert_eq!(found(&of(set), new), Some(root.join(place).join(new.cublas)));
        }
        let venv = of(&|it| it.virtual_env = path("venv"));
        let apart = "venv/lib/python3.11/site-packages/nvidia/cublas/lib/libcublas.so.12";
        assert_eq!(found(&venv, old), Some(root.join(apart)));
        assert_eq!(found(&Surroundings::default(), new), None);
        // A toolkit that was named goes before what is in an environment.
        let both = of(&|it| {
            it.toolkits = vec![root.join("toolkit")];
            it.virtual_env = path("venv");
        });
        assert_eq!(found(&both, new), Some(root.join("toolkit/lib64").join(new.cublas)));
    }

    #[test]
    fn the_toolkit_that_was_chosen_is_first_and_then_the_newest() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["cuda-9.2", "cuda-13.1", "cuda", "cuda-13.0", "share", "cuda-13.10"] {
            fs::create_dir(folder.path().join(name)).expect("created");
        }
        let toolkits = system(folder.path(), Path::new("/opt/cuda"));
        let names: Vec<&str> =
            toolkits.iter().filter_map(|path| path.strip_prefix(folder.path()).ok()?.to_str()).collect();
        assert_eq!(names, ["cuda", "cuda-13.10", "cuda-13.1", "cuda-13.0", "cuda-9.2"]);
        assert_eq!(toolkits.last().map(PathBuf::as_path), Some(Path::new("/opt/cuda")));
    }
}
