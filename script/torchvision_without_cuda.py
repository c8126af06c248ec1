"""Let PyPI's torchvision, built for CUDA on Linux, be imported beside torch's CPU build, and so OpenAI's `clip`.

script/setup puts this into .venv where the CPU build of torchvision could not be had. `clip` takes only transforms from
torchvision, which are Python. But torchvision describes two operators at import, of which its compiled part has the
signatures, and that part cannot be loaded without CUDA's libraries. So they are declared here, when torchvision comes
to that and not before. Its operators stay away, and say so themselves ("Couldn't load custom C++ ops").
"""

import sys


class Declaring:
    """Looks at what is imported, and finds nothing itself."""

    library = None  # torch forgets what a library declared when it goes

    @classmethod
    def find_spec(cls, name: str, path: object = None, target: object = None) -> None:
        if name == "torchvision._meta_registrations" and cls.library is None:
            import torch

            if not hasattr(torch.ops.torchvision, "nms"):
                cls.library = torch.library.Library("torchvision", "FRAGMENT")
                for operator in ("nms", "qnms"):
                    cls.library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


sys.meta_path.insert(0, Declaring)
