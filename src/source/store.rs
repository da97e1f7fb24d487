//! A model in an object store: a bucket of S3, Google Cloud Storage or Azure, or a folder of a web server.
//!
//! Nothing is downloaded to disk: headers and weights are read by byte range, each under the condition that the object still has the
//! ETag with which it was listed. A web server cannot list a folder, so that its files are asked for by their usual names.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::TryStreamExt;
use object_store::path::Path as StorePath;
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt, PutPayload};
use reqwest::Url;

use super::{Blob, Model, Source, SourceError, StoreOptions, Transfer, name};

/// Files of a model that are asked for where a server cannot list them.
const USUAL: [&str; 10] = [
    "config.json",
    "model_index.json",
    "modules.json",
    "model.safetensors",
    "model.safetensors.index.json",
    "diffusion_pytorch_model.safetensors",
    "diffusion_pytorch_model.safetensors.index.json",
    "adapter_config.json",
    "adapter_model.safetensors",
    "quantize_config.json",
];

/// How often a read is tried before it fails. The store's own client has tried each request several times by then.
const ATTEMPTS: u32 = 4;

/// The pause after the first failure; it doubles with every further one.
const PAUSE: Duration = Duration::from_secs(1);

/// The longest reason in a message.
const LONGEST_REASON: usize = 200;

/// The most bytes of a file that is read whole, such as an adapter.
const MOST_WHOLE: u64 = 8 << 30;

pub struct Store<'a> {
    model: Model,
    store: Box<dyn ObjectStore>,
    runtime: tokio::runtime::Runtime,
    folder: StorePath,
    /// The objects of the folder, by their names in it; `None` is one that does not exist.
    objects: Mutex<BTreeMap<String, Option<ObjectMeta>>>,
    single_file: Option<String>,
    notify: &'a (dyn Fn(String) + Sync),
}

impl<'a> Store<'a> {
    /// Opens the folder, or the one weight file, at the address `spelling`.
    pub fn open(
        spelling: &str,
        options: &StoreOptions,
        notify: &'a (dyn Fn(String) + Sync),
    ) -> Result<Self, SourceError> {
        let store = Self::connect(spelling, options, notify)?;
        if spelling.starts_with("http") {
            store.ask_for_usual()?
        } else {
            store.list()?
        }
        Ok(store)
    }

    /// Reads the address, without a request.
    fn connect(
        spelling: &str,
        options: &StoreOptions,
        notify: &'a (dyn Fn(String) + Sync),
    ) -> Result<Self, SourceError> {
        let wrong = |reason: String| SourceError::StoreAddress { address: spelling.to_owned(), reason };
        let url = Url::parse(spelling).map_err(|error| wrong(error.to_string()))?;
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
            // The message does not repeat a secret.
            let address = format!("{}://{}/…", url.scheme(), url.host_str().unwrap_or_default());
            let reason = "credentials belong into environment variables, not into an address".to_owned();
            return Err(SourceError::StoreAddress { address, reason });
        }
        let variables = options.variables.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone()));
        let plain = (url.scheme() == "http").then(|| ("allow_http".to_owned(), "true".to_owned()));
        let opened = object_store::parse_url_opts(&url, variables.chain(plain));
        let (store, path) = opened.map_err(|error| wrong(reason(&error)))?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.map_err(|error| wrong(error.to_string()))?;
        let segments: Vec<_> = path.parts().collect();
        let is_file = segments.last().is_some_and(|last| last.as_ref().ends_with(".safetensors"));
        let (folder, single_file) = match segments.split_last() {
            Some((last, folder)) if is_file => (folder.iter().cloned().collect(), Some(last.as_ref().to_owned())),
            _ => (path.clone(), None),
        };
        let own = segments.iter().map(|segment| segment.as_ref()).collect::<Vec<_>>().join("/");
        let own = format!("/{}/{own}", url.host_str().unwrap_or_default());
        let own = std::path::Path::new(&own);
        let model = Model {
            spelling: spelling.to_owned(),
            name: if is_file { name::of_file(own) } else { name::of_folder(own) },
            origin: spelling.trim_end_matches('/').to_owned(),
            commit: None,
        };
        let objects = Mutex::default();
        Ok(Self { model, store, runtime, folder, objects, single_file, notify })
    }

    /// Finds all objects of the folder.
    fn list(&self) -> Result<(), SourceError> {
        let listed = self.with_retries("", || {
            self.runtime.block_on(self.store.list(Some(&self.folder)).try_collect::<Vec<ObjectMeta>>())
        })?;
        let mut objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        for object in listed {
            let Some(within) = object.location.prefix_match(&self.folder) else { continue };
            let name = within.map(|part| part.as_ref().to_owned()).collect::<Vec<_>>().join("/");
            objects.insert(name, Some(object));
        }
        if objects.is_empty() {
            return Err(SourceError::StoreEmpty { address: self.model.spelling.clone() });
        }
        Ok(())
    }

    fn ask_for_usual(&self) -> Result<(), SourceError> {
        let wanted: Vec<&str> = self.single_file.as_deref().into_iter().chain(USUAL).collect();
        for file in wanted {
            self.find(file)?;
        }
        if self.files().is_empty() {
            return Err(SourceError::StoreEmpty { address: self.model.spelling.clone() });
        }
        Ok(())
    }

    /// The object called `file`, which is asked for if nothing is known of it.
    fn find(&self, file: &str) -> Result<Option<ObjectMeta>, SourceError> {
        let known = self.objects.lock().unwrap_or_else(PoisonError::into_inner).get(file).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let found = self.head(file)?;
        self.objects.lock().unwrap_or_else(PoisonError::into_inner).insert(file.to_owned(), found.clone());
        Ok(found)
    }

    /// What the store says of an object now; `None` if there is none.
    fn head(&self, file: &str) -> Result<Option<ObjectMeta>, SourceError> {
        let path = self.path_of(file);
        match self.with_retries(file, || self.runtime.block_on(self.store.head(&path))) {
            Ok(found) => Ok(Some(found)),
            Err(SourceError::NoSuchFile { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn path_of(&self, file: &str) -> StorePath {
        self.folder.parts().chain(file.split('/').map(Into::into)).collect()
    }

    /// Makes a request, and repeats it after a pause if it fails for another reason than that the store refuses it.
    fn with_retries<T>(
        &self,
        file: &str,
        request: impl Fn() -> Result<T, object_store::Error>,
    ) -> Result<T, SourceError> {
        let mut failures = 0;
        loop {
            let error = match request() {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            failures += 1;
            let is_transient = matches!(error, object_store::Error::Generic { .. }) && !is_refusal(&error);
            if !is_transient || failures == ATTEMPTS {
                return Err(self.error(file, error));
            }
            let pause = PAUSE * 2u32.pow(failures - 1);
            (self.notify)(format!(
                "'{}' cannot be read ({}): trying again in {} s",
                self.model.spelling,
                reason(&error),
                pause.as_secs()
            ));
            std::thread::sleep(pause);
        }
    }

    fn error(&self, file: &str, error: object_store::Error) -> SourceError {
        use object_store::Error;
        let address = self.model.spelling.clone();
        match error {
            Error::NotFound { .. } if !file.is_empty() => {
                SourceError::NoSuchFile { model: address, file: file.to_owned() }
            }
            Error::Precondition { .. } => SourceError::Changed { file: file.to_owned() },
            Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
                SourceError::StoreAccess { address, reason: reason(&error) }
            }
            error if is_refusal(&error) => SourceError::StoreAccess { address, reason: reason(&error) },
            error => SourceError::Store { address, reason: reason(&error) },
        }
    }
}

/// Whether the store has refused a request that it would refuse again.
fn is_refusal(error: &object_store::Error) -> bool {
    let text = error.to_string();
    ["InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied", "NoSuchBucket", "Missing", "credential"]
        .iter()
        .any(|refusal| text.contains(refusal))
}

/// The innermost cause of an error, which says most.
fn reason(error: &object_store::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let text = cause.to_string();
    // S3 and Azure answer in XML, with a message for people.
    let message = text.split_once("<Message>").and_then(|(_, rest)| rest.split_once("</Message>"));
    let text = message.map_or(text.as_str(), |(message, _)| message);
    let words: Vec<&str> = text.trim_end_matches('.').split_whitespace().collect();
    words.join(" ").chars().take(LONGEST_REASON).collect()
}

/// A folder of an object store that results are written to and read from.
pub struct Bucket<'a>(Store<'a>);

impl<'a> Bucket<'a> {
    /// Opens the folder at `address`, which may not exist yet.
    pub fn open(
        address: &str,
        options: &StoreOptions,
        notify: &'a (dyn Fn(String) + Sync),
    ) -> Result<Self, SourceError> {
        let store = Store::connect(address, options, notify)?;
        if address.starts_with("http") || store.single_file.is_some() {
            let reason = "results need a folder of S3, Google Cloud Storage or Azure".to_owned();
            return Err(SourceError::StoreAddress { address: address.to_owned(), reason });
        }
        match store.list() {
            Ok(()) | Err(SourceError::StoreEmpty { .. }) => Ok(Self(store)),
            Err(error) => Err(error),
        }
    }

    /// The names of the files in the folder itself.
    pub fn files(&self) -> Vec<String> {
        self.0.files().into_iter().filter(|file| !file.contains('/')).collect()
    }

    pub fn read(&self, file: &str) -> Result<Vec<u8>, SourceError> {
        self.0.read(file, 0..MOST_WHOLE)
    }

    /// Writes a file, in place of an earlier one. Readers see the old one or the new one.
    pub fn write(&self, file: &str, content: Vec<u8>) -> Result<(), SourceError> {
        let (path, content) = (self.0.path_of(file), PutPayload::from(content));
        let put = || self.0.runtime.block_on(self.0.store.put(&path, content.clone()));
        self.0.with_retries(file, put).map(|_| ())
    }
}

impl Source for Store<'_> {
    fn model(&self) -> &Model {
        &self.model
    }

    fn single_file(&self) -> Option<&str> {
        self.single_file.as_deref()
    }

    fn files(&self) -> Vec<String> {
        let objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        objects.iter().filter(|(_, object)| object.is_some()).map(|(name, _)| name.clone()).collect()
    }

    fn size(&self, file: &str) -> Option<u64> {
        let known = self.objects.lock().unwrap_or_else(PoisonError::into_inner).get(file).cloned();
        match known {
            Some(object) => object.map(|object| object.size),
            // The shards of a web server are known only from the index.
            None if self.model.spelling.starts_with("http") => self.find(file).ok().flatten().map(|object| object.size),
            None => None,
        }
    }

    fn path(&self, _file: &str) -> Option<PathBuf> {
        None
    }

    fn read(&self, file: &str, range: Range<u64>) -> Result<Vec<u8>, SourceError> {
        let missing = || SourceError::NoSuchFile { model: self.model.spelling.clone(), file: file.to_owned() };
        let object = self.find(file)?.ok_or_else(missing)?;
        let range = range.start..range.end.min(object.size);
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let bytes = self.with_retries(file, || {
            // A weak tag matches no condition (RFC 9110, 13.1.1); a change is then found at the end of the scan.
            let tag = object.e_tag.clone().filter(|tag| !tag.starts_with("W/"));
            let options = GetOptions::new().with_range(Some(GetRange::Bounded(range.clone()))).with_if_match(tag);
            self.runtime.block_on(async { self.store.get_opts(&object.location, options).await?.bytes().await })
        })?;
        if bytes.len() as u64 != range.end - range.start {
            let reason = format!("{} bytes came where {} were asked for", bytes.len(), range.end - range.start);
            return Err(SourceError::Store { address: self.model.spelling.clone(), reason });
        }
        Ok(bytes.into())
    }

    fn whole(&self, file: &str, limit: u64) -> Result<Vec<u8>, SourceError> {
        self.read(file, 0..limit)
    }

    fn identity(&self, file: &str) -> Result<String, SourceError> {
        let missing = || SourceError::NoSuchFile { model: self.model.spelling.clone(), file: file.to_owned() };
        let object = self.head(file)?.ok_or_else(missing)?;
        let tag = object.e_tag.map(|tag| tag.trim_start_matches("W/").trim_matches('"').to_owned());
        // A store without ETags tells when an object was written.
        Ok(tag.unwrap_or_else(|| format!("{}-{}", object.size, object.last_modified.timestamp_millis())))
    }

    fn has_etags(&self) -> bool {
        true
    }

    fn is_streamed_only(&self) -> bool {
        true
    }

    /// Holds the whole file in memory.
    fn fetch(&self, file: &str, blob: &Blob, _progress: &dyn Fn(Transfer)) -> Result<(), SourceError> {
        let bytes = self.read(file, 0..MOST_WHOLE)?;
        blob.hold(0, bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_addresses_are_refused() {
        let open = |address: &str| {
            Store::open(address, &StoreOptions::default(), &|_| {}).err().map(|error| error.to_string())
        };
        assert!(open("s3://").is_some_and(|error| error.starts_with("cannot use the address 's3://'")));
        let secret = open("https://user:hush@host/m").expect("refused");
        assert!(
            secret.contains("credentials belong into environment variables") && !secret.contains("hush"),
            "{secret}"
        );
    }
}
