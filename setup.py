"""What pyproject.toml cannot say: the inner loops in C, left out where nothing compiles them."""

from __future__ import annotations

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "mvc.codec._kernels",
            sources=["mvc/codec/_kernels.c"],
            extra_compile_args=["-O3"],
            py_limited_api=True,
            optional=True,
        )
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
