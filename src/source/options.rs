//! How models are reached that are not on this machine.

use std::fmt;

use super::HubOptions;

/// The schemes of addresses of object stores and web servers.
const SCHEMES: [&str; 9] = ["s3", "s3a", "gs", "az", "azure", "abfs", "abfss", "https", "http"];

/// The hosts of the Hub's pages.
const HUB: [&str; 2] = ["huggingface.co", "hf.co"];

/// How to reach the Hub and object stores.
#[derive(Clone, Debug)]
pub struct SourceOptions {
    pub hub: HubOptions,
    pub stores: StoreOptions,
}

/// The settings of object stores, under the names of their environment variables, such as `AWS_REGION`.
#[derive(Clone, Default)]
pub struct StoreOptions {
    pub variables: Vec<(String, String)>,
}

/// Secrets are not shown.
impl fmt::Debug for StoreOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.variables.iter().map(|(name, _)| name);
        formatter.debug_list().entries(names).finish()
    }
}

/// Whether a model or a folder is named by the address of a store.
pub fn is_address(spelling: &str) -> bool {
    let Some((scheme, rest)) = spelling.split_once("://") else { return false };
    let scheme = scheme.to_ascii_lowercase();
    if !scheme.starts_with("http") {
        return SCHEMES.contains(&scheme.as_str());
    }
    // An address of the Hub is meant as a model's name, and any other without a slash at its end may be one of a page.
    let is_of_hub = HUB.iter().any(|host| rest.split('/').next() == Some(host));
    SCHEMES.contains(&scheme.as_str()) && !is_of_hub && (rest.ends_with('/') || rest.ends_with(".safetensors"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let options = StoreOptions { variables: vec![("AWS_SECRET_ACCESS_KEY".into(), "hush".into())] };
        assert_eq!(format!("{options:?}"), r#"["AWS_SECRET_ACCESS_KEY"]"#);
    }

    #[test]
    fn addresses_have_a_known_scheme() {
        for address in ["s3://bucket/model", "gs://b", "az://c/m", "https://host/folder/", "S3://b/m"] {
            assert!(is_address(address), "{address}");
        }
        for other in [
            "org/model",
            "./s3",
            "ftp://host/m",
            "hf://org/model",
            "C:/model",
            "https://huggingface.co/org/model/",
            "https://hub.example/org/model",
        ] {
            assert!(!is_address(other), "{other}");
        }
    }
}
