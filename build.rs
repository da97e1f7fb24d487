//! Compiles the GPU's kernels, where the feature `cuda` asks for them.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    #[cfg(feature = "cuda")]
    cuda()?;
    Ok(())
}

/// The GPUs for which the kernels are compiled, as far as the toolkit knows them: every generation since Turing. Code for one of them runs
/// on all of its generation that came later.
#[cfg(feature = "cuda")]
const GPUS: [u32; 7] = [75, 80, 86, 89, 90, 100, 120];

/// Compiles the kernels for each of these GPUs, and to PTX, which the driver compiles for those that are newer than the toolkit. All of
/// it is one file, of which the driver takes what fits.
#[cfg(feature = "cuda")]
fn cuda() -> Result<(), Box<dyn std::error::Error>> {
    use std::path::Path;
    use std::process::Command;

    const KERNELS: &str = "src/spectrum/cuda/kernels.cu";
    println!("cargo::rerun-if-changed={KERNELS}");
    ["NVCC", "CUDA_HOME", "CUDA_PATH"].iter().for_each(|name| println!("cargo::rerun-if-env-changed={name}"));
    // The one that candle's kernels are compiled by.
    let toolkit = cudaforge::CudaToolkit::detect()?;
    let nvcc = || {
        let mut nvcc = Command::new(&toolkit.nvcc_path);
        for variable in ["NVCC_APPEND_FLAGS", "NVCC_PREPEND_FLAGS"] {
            println!("cargo::rerun-if-env-changed={variable}");
            let flags = std::env::var(variable).unwrap_or_default();
            // Flags for all of a person's kernels count, except for those that name other GPUs.
            let names_gpu = |flag: &&str| {
                ["-arch", "--gpu-", "-code", "-gencode", "--generate-code"].iter().any(|name| flag.starts_with(name))
            };
            let others: Vec<&str> = flags.split_whitespace().filter(|flag| !names_gpu(flag)).collect();
            nvcc.env(variable, others.join(" "));
        }
        nvcc
    };
    let listed = String::from_utf8(nvcc().arg("--list-gpu-code").output()?.stdout)?;
    let known: Vec<u32> =
        GPUS.into_iter().filter(|gpu| listed.lines().any(|line| line == format!("sm_{gpu}"))).collect();
    let oldest = known.first().ok_or("nvcc knows none of the GPUs that laser-scan is for")?;
    let ptx = format!("-gencode=arch=compute_{oldest},code=compute_{oldest}");
    let codes = known.iter().map(|gpu| format!("-gencode=arch=compute_{gpu},code=sm_{gpu}"));
    let file = Path::new(&std::env::var("OUT_DIR")?).join("kernels.fatbin");
    let status = nvcc().args(["-fatbin", "-o"]).arg(file).args(codes).arg(ptx).arg(KERNELS).status()?;
    if status.success() { Ok(()) } else { Err(format!("nvcc could not compile {KERNELS}").into()) }
}
