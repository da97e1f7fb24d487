//! What transformers takes for granted where `config.json` does not say: the defaults of its configuration classes.
//!
//! Made by `tests/catalogue/make_defaults.py` from transformers 5.23.0, and from 4.57.3 for what that version dropped.

/// Whether the head of this architecture shares the embedding's weight; `None` if it is not known.
pub fn ties_embeddings(model_type: &str) -> Option<bool> {
    let is_in = |types: &str| types.split_ascii_whitespace().any(|known| known == model_type);
    is_in(TIED).then_some(true).or_else(|| is_in(UNTIED).then_some(false))
}

/// The numbers that this architecture has, by their keys.
pub fn numbers(model_type: &str) -> &'static [(&'static str, usize)] {
    find(NUMBERS, model_type)
}

/// What this architecture sets to true or to false, by its keys.
pub fn flags(model_type: &str) -> &'static [(&'static str, bool)] {
    find(FLAGS, model_type)
}

/// What some architectures have under some keys.
type Table<T> = &'static [(&'static [&'static str], &'static [(&'static str, T)])];

fn find<T>(table: Table<T>, model_type: &str) -> &'static [(&'static str, T)] {
    table.iter().find(|(known, _)| known.contains(&model_type)).map_or(&[], |(_, pairs)| *pairs)
}

/// Architectures whose head shares the embedding's weight.
const TIED: &str = "\
    albert aya_vision bart bert bert-generation big_bird bigbird_pegasus biogpt blenderbot blenderbot-small blip \
    blip-2 blip_text_model bloom camembert canary cohere cohere2 cohere2_moe cohere2_vision cohere_compass \
    cohere_compass_text colmodernvbert colpali convbert cpmant csm ctrl d_fine dab-detr data2vec-text deberta \
    deberta-v2 deformable_detr deimv2 deta diffusion_gemma diffusion_gemma_text distilbert efficientformer electra \
    encoder-decoder ernie ernie4_5 ernie4_5_moe ernie4_5_vl_moe ernie4_5_vl_moe_text ernie_m esm falcon \
    falcon_mamba flaubert flava florence2 fnet fun_asr_nano funnel gemma gemma2 gemma3 gemma3_text gemma3n \
    gemma3n_text gemma4 gemma4_text gemma4_unified gemma4_unified_assistant gemma4_unified_text got_ocr2 gpt-sw3 \
    gpt2 gpt_bigcode gpt_neo gpt_neox_japanese gptsan-japanese granite_docling granite_docling_text \
    granite_speech5_ctc granite_swa graphormer grounding-dino gte hunyuan_vl hunyuan_vl_text ibert instructblip \
    instructblipvideo jetmoe jina_embeddings_v3 jukebox kosmos-2 kosmos-2.5 kosmos_2_5_text_model \
    kosmos_2_text_model layoutlm led lfm2 lfm2_moe lfm2_vl lfm3 lfm3_vl longformer longt5 luke lxmert m2m_100 \
    mamba marian mbart mctct mega megatron-bert mimi mimi_decoder mimi_encoder minicpm3 mm-grounding-dino \
    mobilebert modernbert modernbert-decoder modernvbert moonshine mpnet mpt mra mt5 mvp nat neomme nezha nllb-moe \
    nomic_bert nystromformer openai-gpt opt paddleocr_vl paddleocr_vl_text paligemma pe_audio pe_audio_video \
    pe_video pegasus pegasus_x perception_encoder plbart pop2piano pp_chart2table pp_doclayout_v3 pp_doclayout_v4 \
    prophetnet qdqbert qwen2_5_omni qwen2_5_omni_text qwen2_5_omni_thinker qwen3_asr qwen3_vl_moe \
    qwen3_vl_moe_text rag realm recurrent_gemma retribert roberta roberta-prelayernorm roc_bert roformer \
    rt_detr_v2 sam sam_hq seamless_m4t seamless_m4t_v2 shieldgemma2 smollm3 speech-encoder-decoder speech_to_text \
    speech_to_text_2 speecht5 squeezebert starcoder2 switch_transformers t5 t5_gemma_module t5gemma t5gemma2 \
    t5gemma2_decoder t5gemma2_encoder t5gemma2_text tapas trajectory_transformer transfo-xl trocr tvlt udop umt5 \
    van vaultgemma vilt vision-encoder-decoder vision-text-dual-encoder visual_bert vit_hybrid voxtral_realtime \
    whisper xglm xlm xlm-prophetnet xlm-roberta xlm-roberta-xl xlnet xmod yoso youtu zamba zamba2 zaya";

/// Architectures whose head has a weight of its own.
const UNTIED: &str = "\
    EvollaModel afmoe apertus arcee aria aria_text audioflamingo3 axk1 axk2 bailing_hybrid bamba beam bitnet blt \
    blt_global_transformer blt_local_decoder blt_local_encoder blt_patcher bridgetower chameleon code_llama \
    codegen cohere_asr cosmos3_edge cosmos3_edge_text cosmos3_omni cwm dbrx deepseek_ocr2 deepseek_ocr2_encoder \
    deepseek_ocr2_text deepseek_v2 deepseek_v3 deepseek_v32 deepseek_v4 deepseek_vl deepseek_vl_hybrid diffllama \
    doge dots1 dots3_note dots3_note_text emu3 emu3_text_model esmc eurobert evolla exaone4 exaone4_5 exaone_moe \
    falcon_h1 fast_vlm flex_olmo flint fsmt fuyu git glm glm4 glm46v glm4_moe glm4_moe_lite glm4v glm4v_moe \
    glm4v_moe_text glm5_next glm5_next_text glm_image glm_moe_dsa glm_ocr glmasr glmga gpt_neox gpt_oss gptj \
    granite granite4_vision granite4_vision_text granite_speech granite_speech_plus granitemoe granitemoe_swa \
    granitemoehybrid granitemoeshared granitevision helium higgs_audio_v2 hrm_text hunyuan_v1_dense hunyuan_v1_moe \
    hy_v3 hy_v4 hyperclovax hyperclovax_vision_v2 idefics idefics2 idefics3 imagegpt internlm3 internvl \
    iquestcoder jais2 jamba janus jev kimi_k25 kimi_linear kolibri1 kyutai_speech_to_text laguna lighton_ocr llama \
    llama4 llama4_text llava llava_next llava_next_video llava_onevision longcat_flash mamba2 mellum mimo_v2_flash \
    minicpm_ocr minicpmv4_6 minicpmv4_7 minimax minimax_m2 minimax_m3_vl minimax_m3_vl_text ministral ministral3 \
    mistral mistral3 mistral4 mistral_large4 mistral_large4_text mixtral mllama mllama_text_model molmo2 \
    molmo2_text moonshine_streaming moshi moshi_depth moss_transcribe_diarize muse_glimmer muse_glimmer_text \
    muse_spark muse_spark_text musicflamingo musicgen_decoder musicgen_melody_decoder nanochat nemo_speechlm \
    nemotron nemotron_h nemotron_h_omni neucodec olmo olmo2 olmo3 olmo_hybrid olmoe open-llama \
    openai_privacy_filter ovis2 perception_lm persimmon phi phi3 phi4_multimodal phimoe pix2struct \
    pix2struct_text_model pp_formulanet pp_formulanet_text qianfan_ocr qwen2 qwen2_5_omni_talker qwen2_5_vl \
    qwen2_audio qwen2_moe qwen2_vl qwen3 qwen3_5 qwen3_5_moe qwen3_5_moe_text qwen3_5_text qwen3_moe qwen3_next \
    qwen3_omni_moe_talker_code_predictor qwen3_omni_moe_talker_text qwen3_omni_moe_thinker qwen3_vl qwen4_exp \
    qwen4_exp_text reformer rembert rwkv seed_oss smolvlm solar_open stablelm step3p5 step3p7 ultrabert ultravbert \
    unlimited_ocr unlimited_ocr_text vibevoice vibevoice_asr video_llama_3 video_llava vipllava voxtral xcodec2 \
    xlstm";

/// Numbers by which fused weights are divided and experts counted.
const NUMBERS: Table<usize> = &[
    (&["bloom"], &[("n_head", 8)]),
    (&["dbrx"], &[("attn_config.kv_n_heads", 1), ("ffn_config.moe_num_experts", 4), ("n_heads", 16)]),
    (&["falcon"], &[("num_attention_heads", 71)]),
    (&["fuyu", "gpt_neox", "persimmon"], &[("num_attention_heads", 64)]),
    (&["gpt_bigcode"], &[("n_head", 12)]),
    (&["gpt_neox_japanese", "phi3"], &[("num_attention_heads", 32)]),
    (
        &["granitemoehybrid"],
        &[("mamba_d_state", 256), ("mamba_n_groups", 1), ("mamba_n_heads", 128), ("num_attention_heads", 32)],
    ),
    (&["mamba2"], &[("head_dim", 64), ("n_groups", 8), ("num_heads", 128), ("state_size", 128)]),
    (&["minimax", "phi4_multimodal"], &[("num_attention_heads", 32), ("num_key_value_heads", 8)]),
    (
        &["nemotron_h"],
        &[
            ("head_dim", 128),
            ("mamba_head_dim", 64),
            ("mamba_num_heads", 128),
            ("n_groups", 8),
            ("num_attention_heads", 32),
            ("num_key_value_heads", 8),
            ("ssm_state_size", 128),
        ],
    ),
    (
        &["qwen3_5", "qwen3_5_text"],
        &[
            ("head_dim", 256),
            ("linear_key_head_dim", 128),
            ("linear_num_key_heads", 16),
            ("linear_num_value_heads", 32),
            ("linear_value_head_dim", 128),
            ("num_attention_heads", 16),
            ("num_key_value_heads", 4),
        ],
    ),
    (
        &["qwen3_5_moe", "qwen3_5_moe_text", "qwen3_next"],
        &[
            ("head_dim", 256),
            ("linear_key_head_dim", 128),
            ("linear_num_key_heads", 16),
            ("linear_num_value_heads", 32),
            ("linear_value_head_dim", 128),
            ("num_attention_heads", 16),
            ("num_key_value_heads", 2),
        ],
    ),
];

/// What is true or false of how fused weights are divided.
const FLAGS: Table<bool> = &[
    (&["falcon"], &[("multi_query", true), ("new_decoder_architecture", false)]),
    (&["gpt_bigcode"], &[("multi_query", true)]),
];
