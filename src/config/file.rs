//! The file of a configuration: the adapter that it sets, what an export changes in it, and the backup.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};

use similar::TextDiff;

use super::edit::{Edited, edit, names, source};
use super::error::{ConfigError, EditError};
use crate::output;
use crate::trainers::yaml::Value;
use crate::trainers::{Adapter, Alpha, Export, Rank, Remedy, UserConfig};

/// A trainer's configuration that a person wrote.
pub struct Config {
    path: PathBuf,
    text: String,
    /// The trainer's name in messages.
    trainer: &'static str,
    keys: &'static UserConfig,
}

/// Whether the rank and the alpha of the adapter were given, and so override those of the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Given {
    pub rank: bool,
    pub alpha: bool,
}

impl Config {
    /// Reads the configuration at `path`, which is one for `trainer`.
    pub fn open(path: &Path, trainer: &'static str, keys: &'static UserConfig) -> Result<Self, ConfigError> {
        let path = path.to_owned();
        match fs::read(&path).map(String::from_utf8) {
            Ok(Ok(text)) => Ok(Self { path, text, trainer, keys }),
            Ok(Err(error)) => Err(ConfigError::NotText(path, error)),
            Err(error) => Err(ConfigError::Unreadable(path, error)),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The `adapter` with the configuration's rank and alpha, unless they are `given`, and as rsLoRA's if it is so there. An error
    /// if a value in the configuration is not plainly a number.
    pub fn adapter(&self, mut adapter: Adapter, given: Given) -> Result<Adapter, ConfigError> {
        let Some(keys) = self.keys.adapter else { return Ok(adapter) };
        if !given.rank
            && let Some(set) = self.number(keys.rank, Remedy::GiveRank)?
        {
            adapter.rank = Rank::Fixed(set as u64);
        }
        if !given.alpha
            && let Some(set) = self.number(keys.alpha, Remedy::GiveAlpha)?
        {
            adapter.alpha = match adapter.alpha {
                Alpha::Stays(_) => Alpha::Stays(set),
                Alpha::Follows(_) => Alpha::Follows(set),
            };
        }
        adapter.rslora |= self.has_set(keys.rslora)?;
        Ok(adapter)
    }

    /// Whether a flag is set. Of a text that cannot be edited nothing is known, and [`Self::edit`] says what to do.
    fn has_set(&self, flag: &str) -> Result<bool, ConfigError> {
        match source(&self.text, flag) {
            Err(EditError::Unsafe) => Ok(false),
            value => {
                let value = value.map_err(|error| self.not_edited(error))?;
                Ok(value.is_some_and(|value| Value::Flag(true).is_plain(value)))
            }
        }
    }

    /// The configuration with the keys of `export` set. An error if it is another trainer's, or cannot be edited.
    pub fn edit(&self, export: &Export) -> Result<Edited, ConfigError> {
        let by_hand = |settings: &[(&'static str, Value)]| {
            let keys = settings.iter().map(|(key, _)| *key).collect();
            ConfigError::ByHand(self.path.clone(), keys)
        };
        if source(&self.text, "") == Err(EditError::Unsafe) {
            return Err(by_hand(&export.settings));
        }
        for key in self.keys.foreign {
            if self.value(key)?.is_some() {
                return Err(ConfigError::Foreign { path: self.path.clone(), key, trainer: self.trainer });
            }
        }
        let mut settings = export.settings.clone();
        for (key, value) in &export.resets {
            // `false` means nothing for other values, but not for a flag.
            let is_set = if matches!(value, Value::Flag(_)) { self.value(key)?.is_some() } else { self.is_set(key)? };
            if is_set {
                settings.push((key, value.clone()));
            }
        }
        match edit(&self.text, &settings) {
            Err(EditError::Unsafe) => Err(by_hand(&settings)),
            edited => edited.map_err(|error| self.not_edited(error)),
        }
    }

    /// Warnings about other keys that change what is trained.
    pub fn warnings(&self, edited: &Edited, export: &Export) -> Result<Vec<String>, ConfigError> {
        let (name, UserConfig { conflicts, naming, needs, .. }) = (self.path.display(), self.keys);
        let edited = Self { path: self.path.clone(), text: edited.text.clone(), ..*self };
        let mut warnings = Vec::new();
        for key in *conflicts {
            let is_ours = export.settings.iter().any(|(own, _)| own == key);
            if !is_ours && edited.is_set(key)? {
                warnings.push(format!("'{name}' sets {key}, which changes what is trained"));
            }
        }
        for (key, named) in *naming {
            if names(&edited.text, key, named).map_err(|error| self.not_edited(error))? {
                warnings.push(format!("'{name}' names {named} in {key}, which changes what is trained"));
            }
        }
        if let Some((key, why)) = needs
            && !edited.is_set(key)?
            && !edited.is_set("<<")?
        {
            warnings.push(format!("'{name}' does not set {key}, {why}"));
        }
        Ok(warnings)
    }

    /// An edit as a unified diff.
    pub fn difference(&self, edited: &Edited) -> String {
        let header = self.path.display().to_string();
        TextDiff::from_lines(&self.text, &edited.text).unified_diff().header(&header, &header).to_string()
    }

    /// Writes an edit, if it changes anything, and returns the path of the backup. Former backups get numbers, the oldest the
    /// lowest.
    pub fn write(&self, edited: &Edited) -> Result<Option<PathBuf>, ConfigError> {
        if edited.changed.is_empty() {
            output::sweep(&self.path);
            return Ok(None);
        }
        // Renaming could replace a file that its owner has made read-only.
        let protected = |error| ConfigError::Unwritable(self.path.clone(), error);
        OpenOptions::new().append(true).open(&self.path).map_err(protected)?;
        let backup = self.path.with_added_extension("bak");
        let is_older = fs::read(&backup).is_ok_and(|older| older != self.text.as_bytes());
        let numbered = |number: usize| backup.with_added_extension(OsString::from(number.to_string()));
        let free = (1..).map(numbered).find(|path| path.symlink_metadata().is_err());
        if let Some(free) = free.filter(|_| is_older) {
            // Renaming keeps the owner and the permissions.
            fs::rename(&backup, &free).map_err(|error| ConfigError::Unwritable(free, error))?;
        }
        output::replace_keeping(&self.path, &backup, edited.text.as_bytes())?;
        Ok(Some(backup))
    }

    fn value(&self, key: &str) -> Result<Option<&str>, ConfigError> {
        source(&self.text, key).map_err(|error| self.not_edited(error))
    }

    fn not_edited(&self, error: EditError) -> ConfigError {
        ConfigError::Edit(self.path.clone(), error)
    }

    /// The number that a key is set to, in quotes or not. YAML has many ways to write a number: one that is not plain is an error,
    /// and so is one that a merge key may set.
    fn number(&self, key: &'static str, remedy: Remedy) -> Result<Option<f64>, ConfigError> {
        let Some(value) = self.value(key)?.filter(|value| !is_nothing(value)) else {
            if self.is_set("<<")? {
                return Err(ConfigError::Elsewhere(self.path.clone(), key, remedy));
            }
            return Ok(None);
        };
        let digits = value.trim_matches(['"', '\'']);
        let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
            && (!digits.starts_with('0') || digits.starts_with("0."));
        let number = digits.parse().ok().filter(|number: &f64| is_plain && *number > 0.0 && *number <= 1e9);
        let number = number.filter(|number| remedy == Remedy::GiveAlpha || number.fract() == 0.0);
        let unclear = || ConfigError::Unclear { path: self.path.clone(), key, value: value.to_owned(), remedy };
        number.map(Some).ok_or_else(unclear)
    }

    fn is_set(&self, key: &str) -> Result<bool, ConfigError> {
        Ok(self.value(key)?.is_some_and(|value| !is_nothing(value)))
    }
}

/// Whether a value means the same as none.
fn is_nothing(value: &str) -> bool {
    ["", "~", "null", "[]", "{}", "false"].contains(&value)
}
