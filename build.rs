//! Compiles the GPU's kernels, where the feature `cuda` asks for them.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    #[cfg(feature = "cuda")]
    cuda()?;
    Ok(())
}

/// Compiles the kernels to PTX, for the oldest GPUs that the toolkit knows and so for all later ones. No driver that is older than the
/// toolkit reads its PTX.
#[cfg(feature = "cuda")]
fn cuda() -> Result<(), Box<dyn std::error::Error>> {
    use std::path::Path;

    const KERNELS: &str = "src/spectrum/cuda/kernels.cu";
    println!("cargo::rerun-if-changed={KERNELS}");
    ["NVCC", "CUDA_HOME", "CUDA_PATH"].iter().for_each(|name| println!("cargo::rerun-if-env-changed={name}"));
    // The one that candle's kernels are compiled by.
    let toolkit = cudaforge::CudaToolkit::detect()?;
    let ptx = Path::new(&std::env::var("OUT_DIR")?).join("kernels.ptx");
    let status = std::process::Command::new(toolkit.nvcc_path).args(["-ptx", "-o"]).arg(ptx).arg(KERNELS).status()?;
    if status.success() { Ok(()) } else { Err(format!("nvcc could not compile {KERNELS}").into()) }
}
