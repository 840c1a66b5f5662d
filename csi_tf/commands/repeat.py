"""--repeat=FILE.png: one file again, from what its text chunks say."""

from collections.abc import Callable
from pathlib import Path

from csi_tf import checks
from csi_tf.commands import output
from csi_tf.commands.job import Job, Layout
from csi_tf.commands.settings import Command
from csi_tf.data import image_files
from csi_tf.errors import RunFailed

_MAY_MOVE = ("model", "input", "mask", "data_dir")


def run(
    command: Command,
    directory: Path,
    note: Callable[[str], None],
    layout_of: Callable[[Job], Layout],
) -> None:
    """Writes the file to the directory; RunFailed if it cannot be, or is not, the same."""
    file = checks.existing_file(command.repeat)
    target = directory / file.name
    if target.resolve() == file.resolve():
        raise ValueError(f"{file} cannot be compared with itself: give another --output")
    if target.exists() and not command.overwrite:
        raise ValueError(f"{target} is there already; give --overwrite or another --output")
    record = output.read_record(file)
    if record is None:
        raise ValueError(
            f"{file} does not tell how it was made: it is no PNG of this program's, or another"
            " program has saved it since"
        )
    try:
        settings = dict(record["settings"])
        sums, which, made_on = settings.pop("sha256"), settings.pop("file"), record["versions"]
        moved = {name: getattr(command, name) for name in _MAY_MOVE if getattr(command, name)}
        made = Command(**settings | moved)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{file} tells what this version does not understand: {error}") from None
    if made.mode != command.mode:
        raise ValueError(f"{file} was made by --mode={made.mode}; give that mode")
    try:
        job = Job(made, directory, note)
        sources = job.sources()
        if len(sources) == 1:
            picture = job.prepare(sources[0])
    except (ValueError, OSError) as error:
        with_ = " ".join(f"--{name}={settings[name]}" for name in _MAY_MOVE if settings.get(name))
        raise ValueError(
            f"{str(error).rstrip('.')}. {file} was made with {with_}: name by its flag what lies"
            " elsewhere now"
        ) from None
    if len(sources) != 1:
        raise ValueError(
            f"{file} was made from one picture, and --input={made.input} has {len(sources)}: give"
            " that one"
        )
    for name, before in sums.items():
        if picture.settings["sha256"].get(name) != before:
            where = picture.settings.get(name, f"of {picture.settings['model']}")
            raise RunFailed(
                f"the {name} ({where}) is not the one that {file} was made with: give that by"
                f" --{name if name in _MAY_MOVE else 'model'}"
            )
    here = output.versions()
    if here != made_on:
        others = ", ".join(f"{k} {v}" for k, v in made_on.items() if here.get(k) != v)
        note(f"note: {file} was made with {others}; the last bits may come out differently")
    wanted = layout_of(job).make([picture], lambda done, total: None, which)
    job.write(next(each for each in wanted if each.file == which), target)
    before, after = (image_files.read_image(path) for path in (file, target))
    if before.shape != after.shape or (before != after).any():
        raise RunFailed(f"{target} is written, but its pixels are not those of {file}")
    print(f"{target}: the same as {file}, bit for bit")
