"""What torch can compute on."""


def torch_device_text() -> tuple[bool, str]:
    """Whether torch sees a GPU, and in words: the GPUs' names, or how torch was built."""
    import torch

    build = f"torch {torch.__version__}" + (f", CUDA {torch.version.cuda}" if torch.version.cuda else ", built for CPU")
    names = [torch.cuda.get_device_name(place) for place in range(torch.cuda.device_count())]
    return bool(names), f"{', '.join(names) or 'none'} ({build})"
