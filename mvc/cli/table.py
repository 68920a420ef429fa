"""Which module holds which command, so that help and start-up load none of them."""

from __future__ import annotations

SECTIONS: dict[str, dict[str, tuple[str, str]]] = {
    "Working copy": {
        "init": ("init", "Make a repository."),
        "add": ("add", "Start tracking files."),
        "rm": ("rm", "Remove files and stop tracking them."),
        "mv": ("mv", "Move or rename tracked files."),
        "status": ("status", "Show what changed since the last commit."),
        "restore": ("restore", "Bring files back from a version."),
    },
    "History": {
        "commit": ("commit", "Record the tracked files as a new version."),
        "log": ("log", "Show the history."),
        "show": ("show", "Show a version, a model file or a directory."),
        "diff": ("diff", "Compare versions file by file and tensor by tensor."),
        "blame": ("blame", "Show which version changed each tensor last."),
        "bisect": ("bisect", "Find the first bad version."),
        "drift": ("drift", "Show how far versions have drifted from a base, layer by layer."),
        "tree": ("tree", "Draw where branches, tags and devices come from."),
        "identify": ("identify", "Find the versions that hold exactly this file."),
        "verify-commit": (
            "verify_commit",
            "Tell whose signature a version has, and whether it counts.",
        ),
        "reset": ("reset", "Move the current branch to another version."),
        "reflog": ("reflog", "Show where a branch or HEAD has been."),
    },
    "Branches and tags": {
        "switch": ("switch", "Go to a branch."),
        "checkout": ("checkout", "Go to a branch or version, or bring back files."),
        "branch": ("branch", "List, create, rename or delete branches."),
        "merge": ("merge", "Merge versions: by file, by tensor, or as an average of a fleet."),
        "cherry-pick": ("cherry_pick", "Add what commits changed to the current version."),
        "revert": ("revert", "Take back what commits changed."),
        "tag": ("tag", "List, create or delete tags."),
    },
    "Remotes": {
        "clone": ("clone", "Copy a repository into a new folder."),
        "remote": ("remote", "List, add, change and remove remotes."),
        "fetch": ("fetch", "Bring the versions of a remote."),
        "pull": ("pull", "Fetch, and take the current branch along."),
        "push": ("push", "Send branches and tags to a remote."),
        "ls-remote": ("ls_remote", "List the branches and tags of a remote."),
        "device": ("device", "Set up a device of a fleet."),
    },
    "Repository": {
        "config": ("config", "Read and write settings."),
        "export": ("export", "Write the files of a version into a new folder."),
        "sign": ("sign", "Sign the files of a version for programs that know no mvc."),
        "key": ("key", "Make keys, and say whose signatures count."),
        "offload": ("offload", "Keep the lower bits of weights in another repository."),
        "fsck": ("fsck", "Verify everything that is stored."),
        "repack": ("repack", "Store versions against better bases."),
        "gc": ("gc", "Merge small packs and drop what nothing reaches."),
        "stats": ("stats", "Show what the repository takes, and why."),
        "completion": ("completion", "Print the completion script of a shell."),
    },
    "Server": {
        "serve": ("serve", "Let other machines fetch and push."),
        "token": ("token", "Say who may ask an HTTP server for what."),
    },
    "Plumbing": {
        "rev-parse": ("rev_parse", "Turn revisions into ids."),
        "ls-tree": ("ls_tree", "List the files of a version."),
        "cat-object": ("cat_object", "Print a stored object."),
    },
}
"""Section -> verb -> (module in `mvc.cli.commands`, what it does). Each module has `command`."""

COMMANDS: dict[str, tuple[str, str]] = {
    verb: entry for section in SECTIONS.values() for verb, entry in section.items()
}
