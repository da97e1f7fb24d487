//! `laser-scan export --into`: a person's configuration, edited in place.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use laser_scan::config::{self, EditError};
use laser_scan::output;
use laser_scan::trainers::yaml::Value;
use laser_scan::trainers::{Adapter, Alpha, Export, Rank, Trainer};
use similar::TextDiff;

use super::STANDARD_OUTPUT;
use crate::cli::AdapterArgs;
use crate::terminal::Terminal;

/// A configuration that there is.
#[derive(Clone)]
pub struct Config {
    path: PathBuf,
    text: String,
    trainer: Trainer,
}

impl Config {
    /// Reads the configuration at `path`.
    pub fn open(path: &Path, trainer: Trainer) -> Result<Self> {
        let bytes = fs::read(path).with_context(|| format!("cannot read '{}'", path.display()))?;
        let text = String::from_utf8(bytes).with_context(|| format!("'{}' is not UTF-8", path.display()))?;
        Ok(Self { path: path.to_owned(), text, trainer })
    }

    /// The adapter that is asked for; what is not said of it is as the configuration has it.
    pub fn adapter(&self, arguments: &AdapterArgs) -> Result<Adapter> {
        let mut adapter = arguments.adapter();
        if self.trainer == Trainer::AxolotlFull {
            return Ok(adapter);
        }
        let rank_key = if self.trainer == Trainer::LlamaFactory { "lora_rank" } else { "lora_r" };
        if arguments.rank.is_none() && arguments.match_rank.is_none() {
            let set = self.number(rank_key, "--rank")?;
            adapter.rank = set.map_or(adapter.rank, |rank| Rank::Fixed(rank as u64));
        }
        if arguments.alpha.is_none()
            && let Some(set) = self.number("lora_alpha", "--alpha")?
        {
            adapter.alpha = match adapter.alpha {
                Alpha::Stays(_) => Alpha::Stays(set),
                Alpha::Follows(_) => Alpha::Follows(set),
            };
        }
        Ok(adapter)
    }

    /// Sets the keys of `export`, or shows what that would change.
    pub fn edit(&self, export: &Export, dry_run: bool, terminal: &Terminal) -> Result<()> {
        let name = self.path.display();
        if config::source(&self.text, "") == Err(EditError::Unsafe) {
            return Err(self.by_hand(&export.settings));
        }
        if let Some(key) = self.first_set(export.foreign)? {
            bail!(
                "'{name}' sets {key}, and is not a configuration of {}: name the trainer that it is for",
                self.trainer
            );
        }
        let mut settings = export.settings.clone();
        for (key, value) in &export.resets {
            // A flag says something whichever way it is set.
            let is_set = if matches!(value, Value::Flag(_)) { self.value(key)?.is_some() } else { self.is_set(key)? };
            if is_set {
                settings.push((key, value.clone()));
            }
        }
        let edited = match config::edit(&self.text, &settings) {
            Err(EditError::Unsafe) => return Err(self.by_hand(&settings)),
            edited => edited.with_context(|| format!("'{name}'"))?,
        };
        terminal.exported(export, &[]);
        Self { text: edited.text.clone(), ..self.clone() }.warn(export, terminal)?;
        if edited.changed.is_empty() {
            if !dry_run {
                output::sweep(&self.path);
            }
            terminal.note(&format!("'{name}' says all that already"));
        } else if dry_run {
            let header = name.to_string();
            let difference =
                TextDiff::from_lines(&self.text, &edited.text).unified_diff().header(&header, &header).to_string();
            terminal
                .output(difference.strip_suffix('\n').unwrap_or(&difference).as_bytes())
                .context(STANDARD_OUTPUT)?;
        } else {
            let kept = self.replace(&edited.text)?;
            terminal.edited(&self.path, &kept, &edited.changed);
        }
        Ok(())
    }

    /// What is left to do where the program cannot edit.
    fn by_hand(&self, settings: &[(&str, Value)]) -> anyhow::Error {
        let keys: Vec<&str> = settings.iter().map(|(key, _)| *key).collect();
        anyhow!(
            "'{}' is written in a way that laser-scan cannot edit: set these keys by hand: {}; without --into their lines are \
             printed",
            self.path.display(),
            keys.join(", ")
        )
    }

    /// Says what else in the configuration changes what is trained.
    fn warn(&self, export: &Export, terminal: &Terminal) -> Result<()> {
        let is_ours = |key: &str| export.settings.iter().any(|(own, _)| *own == key);
        for key in export.conflicts {
            if !is_ours(key) && self.is_set(key)? {
                terminal.warn(&format!("'{}' sets {key}, which changes what is trained", self.path.display()));
            }
        }
        for (key, named) in export.naming {
            if config::names(&self.text, key, named).with_context(|| format!("'{}'", self.path.display()))? {
                let path = self.path.display();
                terminal.warn(&format!("'{path}' names {named} in {key}, which changes what is trained"));
            }
        }
        if let Some((key, why)) = export.needs
            && !self.is_set(key)?
            && !self.is_set("<<")?
        {
            terminal.warn(&format!("'{}' does not set {key}, {why}", self.path.display()));
        }
        Ok(())
    }

    /// Writes the configuration, and keeps what it was beside it. What was kept before gets a number, the oldest the lowest.
    fn replace(&self, text: &str) -> Result<PathBuf> {
        // A file that its owner has protected is not to be replaced, which renaming could do.
        OpenOptions::new()
            .append(true)
            .open(&self.path)
            .with_context(|| format!("cannot write '{}'", self.path.display()))?;
        let kept = self.path.with_added_extension("bak");
        let is_older = fs::read(&kept).is_ok_and(|older| older != self.text.as_bytes());
        let numbered = |number: usize| kept.with_added_extension(OsString::from(number.to_string()));
        let free = (1..).map(numbered).find(|path| path.symlink_metadata().is_err());
        if let Some(free) = free.filter(|_| is_older) {
            // Its owner and its permissions go with it.
            fs::rename(&kept, &free).with_context(|| format!("cannot write '{}'", free.display()))?;
        }
        output::replace_keeping(&self.path, &kept, text.as_bytes())?;
        Ok(kept)
    }

    fn value(&self, key: &str) -> Result<Option<&str>> {
        config::source(&self.text, key).with_context(|| format!("'{}'", self.path.display()))
    }

    /// The number that a key is set to, in quotes or not. YAML has many ways to write one: what is not plainly a number is
    /// asked for by its `option`, and so is what may come from elsewhere.
    fn number(&self, key: &str, option: &str) -> Result<Option<f64>> {
        let name = self.path.display();
        let Some(value) = self.value(key)?.filter(|value| !is_nothing(value)) else {
            anyhow::ensure!(!self.is_set("<<")?, "'{name}' may take {key} from elsewhere ('<<'): give {option}");
            return Ok(None);
        };
        let digits = value.trim_matches(['"', '\'']);
        let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
            && (!digits.starts_with('0') || digits.starts_with("0."));
        let number = digits.parse().ok().filter(|number: &f64| is_plain && *number > 0.0 && *number <= 1e9);
        let number = number.filter(|number| key == "lora_alpha" || number.fract() == 0.0);
        let unclear = || format!("'{name}' sets {key} to {value}, which is not plainly a number: give {option}");
        Ok(Some(number.with_context(unclear)?))
    }

    /// Whether a key has a value that says something.
    fn is_set(&self, key: &str) -> Result<bool> {
        Ok(self.value(key)?.is_some_and(|value| !is_nothing(value)))
    }

    fn first_set<'a>(&self, keys: &[&'a str]) -> Result<Option<&'a str>> {
        for key in keys {
            if self.value(key)?.is_some() {
                return Ok(Some(key));
            }
        }
        Ok(None)
    }
}

/// Whether a value says as much as none.
fn is_nothing(value: &str) -> bool {
    ["", "~", "null", "[]", "{}", "false"].contains(&value)
}
