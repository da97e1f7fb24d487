//! What a row of the table can say, and pieces that several rows share.

/// What is known of some architectures besides the general rules.
#[derive(Debug)]
pub struct Architecture {
    /// The `model_type`s of transformers that the row describes. They may also be classes: of diffusers, or of
    /// transformers if a class is renamed in another way than the others of its `model_type`.
    pub names: &'static [&'static str],
    /// Whether the models' code was read for this row. If not, the general rules are used, and the user is told.
    pub is_known: bool,
    /// Fused weights: the end of the module's name, and how the weight is divided.
    pub fused: &'static [(&'static str, Layout)],
    /// Stacks of experts that the general rule does not find, by the end of the tensor's name without `.weight`.
    pub stacks: &'static [(&'static str, Stack)],
    /// The names of heads that the general rules do not know.
    pub heads: &'static [&'static str],
    /// The first segment of all names but the head's in memory, if it may be missing on disk.
    pub base: Option<&'static str>,
    pub input_first: InputFirst,
    /// Whether convolutions make up so much of the model that they are measured by default.
    pub convolutions: bool,
    /// How names on disk become names in memory under every version of transformers. The rules are applied one after
    /// the other.
    pub renamed: &'static [Rules],
    /// The rules that version 5 applies after these.
    pub renamed_by_five: &'static [Rules],
    /// Last segments of target modules that PEFT turns into parameters of every layer under version 5, where the
    /// experts are parameters (`peft/utils/transformers_weight_conversion.py`).
    pub rewritten: &'static [&'static str],
    /// What PEFT cannot adapt.
    pub refused: Option<Refused>,
    /// The ends of the names of modules whose weight the model's code reads without calling the module, so that an
    /// adapter for them has no effect.
    pub bypassed: &'static [&'static str],
}

/// How the outputs of a fused weight are divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Equal blocks, one after the other.
    Blocks(&'static [&'static str]),
    /// One line of each in turn.
    Alternating(&'static [&'static str]),
    /// Equal blocks within each attention head.
    PerHead(&'static [&'static str]),
    /// Equal blocks within each of this many equal parts.
    PerPart(usize, &'static [&'static str]),
    /// All queries, then all keys, then all values, each as many as its heads take.
    QueryKeyValue,
    /// Falcon's: within each group of heads its queries, its key and its value; or one group for all heads; or head by
    /// head.
    Falcon,
    /// GPT-BigCode's: one group for all heads, or head by head.
    BigCode,
    /// Queries, keys, values and output gates of the gated delta rule, within each key head.
    GatedDeltaQkvz,
    /// The two gates of the gated delta rule, within each key head.
    GatedDeltaBa,
    /// Queries, keys and values of the gated delta rule, one after the other.
    GatedDeltaQkv,
    /// Mamba-2's gate, its convolution's input, and its time steps.
    Mamba2,
}

/// How experts are stacked in one tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stack {
    /// Along the first of three dimensions.
    Leading,
    /// As blocks of rows, whose number the configuration has under this key.
    Rows(&'static str),
}

/// Which weights are stored as `[in, out]`, the transpose of what `nn.Linear` stores. Singular values are the same
/// either way, but a fused weight is divided along its outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputFirst {
    Nothing,
    /// Stacks of experts, unless their shape says otherwise.
    Experts,
    /// All weights, because the modules are `Conv1D`.
    Everything,
}

/// What PEFT cannot adapt of an architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The modules of a Mamba whose weights its kernels read directly; PEFT refuses them
    /// (`_check_lora_target_modules_mamba` in `peft/tuners/tuners_utils.py`).
    MambaKernels,
    /// Experts that are parameters, because `DbrxExperts.forward` looks for them on the module that PEFT has wrapped.
    Experts,
}

/// Renamings that are applied one after the other: a run of a name's segments, and what it becomes. `#` stands for a
/// number, `^` for the beginning of the name. A number that only the left side has is dropped. Several names on the
/// right are in braces.
pub type Rules = &'static [(&'static str, &'static str)];

/// A row for which the general rules are enough.
pub const PLAIN: Architecture = Architecture {
    names: &[],
    is_known: true,
    fused: &[VISION],
    stacks: &[],
    heads: &[],
    base: Some("model"),
    input_first: InputFirst::Nothing,
    convolutions: false,
    renamed: &[],
    renamed_by_five: &[],
    rewritten: &[],
    refused: None,
    bypassed: &[],
};

/// A row whose models have full names on disk.
pub const BASELESS: Architecture = Architecture { base: None, ..PLAIN };

/// The row for an unknown architecture, also as the basis of rows for architectures whose code was not read.
pub const UNKNOWN: Architecture = Architecture { is_known: false, ..BASELESS };

pub const QKV: &[&str] = &["q", "k", "v"];

/// The two projections into a gated block.
pub const GATE_UP: &[&str] = &["gate", "up"];

/// Fused queries, keys and values of vision towers, which are the same in all models.
pub const VISION: (&str, Layout) = ("attn.qkv", Layout::Blocks(QKV));

/// Experts whose gate and up projections are one parameter.
pub const EXPERTS: (&str, Layout) = ("experts.gate_up_proj", Layout::Blocks(GATE_UP));

/// Attention of the gated delta rule, with experts in some models.
pub const GATED_DELTA: Architecture = Architecture {
    fused: &[
        VISION,
        ("self_attn.q_proj", Layout::PerHead(&["query", "gate"])),
        ("linear_attn.in_proj_qkvz", Layout::GatedDeltaQkvz),
        ("linear_attn.in_proj_ba", Layout::GatedDeltaBa),
        ("linear_attn.in_proj_qkv", Layout::GatedDeltaQkv),
        EXPERTS,
    ],
    ..PLAIN
};

/// Experts that are loaded into one parameter for each projection.
pub const STACKED: Rules = &[
    ("experts.#.gate_proj", "experts.gate_up_proj"),
    ("experts.#.up_proj", "experts.gate_up_proj"),
    ("experts.#.down_proj", "experts.down_proj"),
];

/// What PEFT turns into parameters if the experts' projections are named like those of a gated block.
pub const PROJECTIONS: &[&str] = &["gate", "gate_proj", "up_proj", "down_proj"];

/// The renaming of a language model that moved into the model around it, and of what stands beside it.
pub const UNDER_MODEL: Rules = &[
    ("^.language_model.lm_head", "^.lm_head"),
    ("^.language_model.model", "^.model.language_model"),
    ("^.vision_tower", "^.model.vision_tower"),
    ("^.vision_model", "^.model.vision_model"),
    ("^.vision_embed_tokens", "^.model.vision_embed_tokens"),
    ("^.audio_tower", "^.model.audio_tower"),
    ("^.multi_modal_projector", "^.model.multi_modal_projector"),
];

impl Architecture {
    pub fn stack(&self, name: &str) -> Option<Stack> {
        self.stacks.iter().find(|(ending, _)| ends_with(name, ending)).map(|(_, stack)| *stack)
    }

    pub fn layout(&self, name: &str) -> Option<Layout> {
        self.fused.iter().find(|(ending, _)| ends_with(name, ending)).map(|(_, layout)| *layout)
    }
}

/// Whether the last segments of `name` are those of `ending`.
fn ends_with(name: &str, ending: &str) -> bool {
    name.strip_suffix(ending).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}
