"""ComfyUI's entry point: the nodes, imported only when ComfyUI asks for them."""

import logging

WEB_DIRECTORY = "./web"


async def comfy_entrypoint():
    """The extension with all nodes; ComfyUI prints only a failure's message, so its traceback is logged here."""
    try:
        from .nodes.extension import CodeFormerExtension

        return CodeFormerExtension()
    except Exception:
        logging.getLogger(__name__).exception("ComfyUI-CodeFormer could not be loaded")
        raise
