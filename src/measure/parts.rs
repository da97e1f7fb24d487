//! A plan -> its parts, for several machines.

use std::collections::BTreeSet;

use super::division::{Load, divide};
use super::{Plan, flops};
use crate::modules::Module;
use crate::scan::{Part, Portion};

/// What a part of a scan takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct Share {
    pub modules: usize,
    /// How many files have its modules.
    pub files: usize,
    /// The bytes of these files.
    pub bytes: u64,
    pub flops: f64,
}

/// Which part each module of a plan is in.
#[derive(Clone, Debug)]
pub struct Parts {
    count: usize,
    /// Counted from 0.
    of_module: Vec<usize>,
}

impl Plan {
    /// Divides the modules into so many parts, at least one. Every machine that has the same headers divides them alike.
    pub fn parts(&self, count: usize) -> Parts {
        let load = |module: &Module| {
            let shard = module.shards().last().copied().unwrap_or(0);
            Load { flops: flops(module), shard }
        };
        Parts { count, of_module: divide(&self.modules.iter().map(load).collect::<Vec<_>>(), count) }
    }

    /// The part of the plan with this number, counted from 1.
    pub fn into_part(self, number: usize, parts: &Parts) -> Self {
        let part = Part { number, of: parts.count };
        let total = self.modules.len();
        let own = self.modules.into_iter().enumerate().filter(|(place, _)| parts.of_module[*place] + 1 == number);
        let (places, modules): (Vec<usize>, Vec<Module>) = own.unzip();
        let names = modules.iter().map(|module| module.info.name.clone());
        let portion = Portion { part, name: self.model.name.clone(), total, places: names.zip(places).collect() };
        Self { modules, part: Some(portion), ..self }
    }

    /// What each of the parts takes.
    pub fn shares(&self, parts: &Parts) -> Vec<Share> {
        let mut shares = vec![Share::default(); parts.count];
        let mut shards = vec![BTreeSet::new(); parts.count];
        for (module, part) in self.modules.iter().zip(&parts.of_module) {
            shares[*part].modules += 1;
            shares[*part].flops += flops(module);
            shards[*part].extend(module.shards());
        }
        for (share, shards) in shares.iter_mut().zip(shards) {
            share.files = shards.len();
            share.bytes = shards.into_iter().map(|shard| self.checkpoint.shards[shard].size).sum();
        }
        shares
    }
}
