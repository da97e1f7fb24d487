//! How models are reached that are not on this machine.

use std::fmt;

use super::HubOptions;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let options = StoreOptions { variables: vec![("AWS_SECRET_ACCESS_KEY".into(), "hush".into())] };
        assert_eq!(format!("{options:?}"), r#"["AWS_SECRET_ACCESS_KEY"]"#);
    }
}
