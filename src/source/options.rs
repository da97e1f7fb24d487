//! How models are reached that are not on this machine.

use std::fmt;

use super::HubOptions;

/// The schemes of addresses of object stores and web servers.
const SCHEMES: [&str; 9] = ["s3", "s3a", "gs", "az", "azure", "abfs", "abfss", "https", "http"];

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
    spelling.split_once("://").is_some_and(|(scheme, _)| SCHEMES.contains(&scheme.to_ascii_lowercase().as_str()))
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
        for other in ["org/model", "./s3", "ftp://host/m", "hf://org/model", "C:/model"] {
            assert!(!is_address(other), "{other}");
        }
    }
}
