//! What a row of the table can say, and what several rows share.

/// What there is to know of some architectures beside the general rules.
#[derive(Debug)]
pub struct Architecture {
    /// The `model_type`s of transformers that the row is about, or classes: of diffusers, or of transformers, where a class
    /// is renamed otherwise than the others of its `model_type`.
    pub names: &'static [&'static str],
    /// Whether the models' code was read for this row. Where it was not, the general rules have to do, and the user is told.
    pub is_known: bool,
    /// Weights that are several in one: the end of the module's name, and how it is divided.
    pub fused: &'static [(&'static str, Layout)],
    /// Stacks of experts that the general rule does not find: the end of the tensor's name without `.weight`.
    pub stacks: &'static [(&'static str, Stack)],
    /// Heads that the general rules do not know: the module's name.
    pub heads: &'static [&'static str],
    /// What the names of everything but the head begin with in memory, where it may be missing on disk.
    pub base: Option<&'static str>,
    /// Which weights are stored as `[in, out]`.
    pub input_first: InputFirst,
    /// Whether the convolutions are as much of the model as its linear modules, so that they are measured unasked.
    pub convolutions: bool,
    /// How names on disk become names in memory under every version of transformers: the rules apply one after the other.
    pub renamed: &'static [Rules],
    /// What version 5 renames after that.
    pub renamed_by_five: &'static [Rules],
    /// The last segments of entries of its lists that PEFT turns into parameters of every layer under version 5, as the
    /// experts are parameters there. (`peft/utils/transformers_weight_conversion.py`)
    pub rewritten: &'static [&'static str],
    /// What PEFT cannot adapt.
    pub refused: Option<Refused>,
    /// The ends of the names of modules whose weight the model's own code reads, without calling them, so that an adapter
    /// beside them does nothing.
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
    /// Equal blocks within each of so many equal parts.
    PerPart(usize, &'static [&'static str]),
    /// All queries, all keys, all values; as many of each as there are heads for it.
    QueryKeyValue,
    /// As Falcon has it: within each group of heads its queries, its key and its value; one group for all; or head by head.
    Falcon,
    /// As GPT-BigCode has it: one group for all, or head by head.
    BigCode,
    /// Queries, keys, values and output gates of the gated delta rule, within each key head.
    GatedDeltaQkvz,
    /// The two gates of the gated delta rule, within each key head.
    GatedDeltaBa,
    /// Queries, keys and values of the gated delta rule, one after the other.
    GatedDeltaQkv,
    /// Mamba-2's gate, its convolution's input and its time steps.
    Mamba2,
}

/// How experts are stacked in one tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stack {
    /// Along the first of three dimensions.
    Leading,
    /// As blocks of rows, as many as the configuration says under this key.
    Rows(&'static str),
}

/// Which weights of an architecture are stored as `[in, out]`, the other way round than `nn.Linear` stores them. Singular
/// values are the same either way, but a fused weight is divided along its outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputFirst {
    /// None.
    Nothing,
    /// Stacks of experts, unless their extents say otherwise.
    Experts,
    /// All of them: they are `Conv1D`.
    Everything,
}

/// What PEFT cannot adapt of an architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The modules of a Mamba whose weights its kernels take by themselves: PEFT refuses them.
    /// (`_check_lora_target_modules_mamba` in `peft/tuners/tuners_utils.py`)
    MambaKernels,
    /// Experts that are parameters: `DbrxExperts.forward` asks for them on the module that PEFT has wrapped.
    Experts,
}

/// What is renamed, one after the other: runs of a name's segments, and what they become. `#` stands for a number, `^` for
/// the name's beginning. A number of the first that the second lacks is dropped. What becomes several modules has them in
/// braces.
pub type Rules = &'static [(&'static str, &'static str)];

/// A row that the general rules are enough for.
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

/// A row whose models have every name in full on disk.
pub const BASELESS: Architecture = Architecture { base: None, ..PLAIN };

/// The rules for an architecture without a row, or with one that says what is known of it all the same.
pub const UNKNOWN: Architecture = Architecture { is_known: false, ..BASELESS };

/// Queries, keys and values.
pub const QKV: &[&str] = &["q", "k", "v"];

/// The two projections into a gated block.
pub const GATE_UP: &[&str] = &["gate", "up"];

/// Fused queries, keys and values of vision towers; these are everywhere the same.
pub const VISION: (&str, Layout) = ("attn.qkv", Layout::Blocks(QKV));

/// Experts of which one parameter holds gates and projections up.
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

/// What PEFT turns into parameters where experts are called as the projections of a gated block.
pub const PROJECTIONS: &[&str] = &["gate", "gate_proj", "up_proj", "down_proj"];

/// A language model that moved below the model around it, with what stands beside it.
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
    /// How the weight of the module called `name` is stacked, if the row says so.
    pub fn stack(&self, name: &str) -> Option<Stack> {
        self.stacks.iter().find(|(ending, _)| ends_with(name, ending)).map(|(_, stack)| *stack)
    }

    /// How the outputs of the module called `name` are divided, if they are.
    pub fn layout(&self, name: &str) -> Option<Layout> {
        self.fused.iter().find(|(ending, _)| ends_with(name, ending)).map(|(_, layout)| *layout)
    }
}

/// Whether the last segments of `name` are those of `ending`.
fn ends_with(name: &str, ending: &str) -> bool {
    name.strip_suffix(ending).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}
