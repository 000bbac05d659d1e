"""A stand-in for Modal's control plane that really runs functions on this machine (Linux, root).

It speaks the gRPC protocol of the installed `modal` SDK, whose messages come with the SDK, so that an unmodified client
can be pointed at it. Functions run in real `modal._container_entrypoint` processes, each in a mount namespace with a
copy-on-write root; Volumes are bind mounts. Images are recorded and not built: the interpreter is --container-python.
GPUs are recorded and not provided. Each container has its own view of a Volume until it commits or reloads.

    python -m tests.standin.modal_server --state DIR [--container-python PYTHON]     READY on stdout, DIR/env.sh

    GET  CONTROL/state                        all that was asked for, as JSON
    POST CONTROL/preempt?call=ID&grace=30     SIGINT, after the grace SIGKILL; the same input runs again
    POST CONTROL/kill?call=ID                 SIGKILL: an internal failure, which uses a retry up
    POST CONTROL/fail_rpc?name=RPC&status=UNAVAILABLE&count=2
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import hashlib
import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import grpclib.server
from aiohttp import web
from google.protobuf.empty_pb2 import Empty
from google.protobuf.json_format import MessageToDict
from grpclib import GRPCError, Status
from grpclib.events import RecvRequest, listen
from modal_proto import api_grpc
from modal_proto import api_pb2 as pb

R = pb.GenericResult
BLOCK = 8 * 1024 * 1024
JWT = "e30.eyJleHAiOiA0MTAyNDQ0ODAwfQ.x"  # unsigned, expires in 2100
GPUS = {
    "T4",
    "L4",
    "A10",
    "A10G",
    "L40S",
    "A100",
    "A100-40GB",
    "A100-80GB",
    "RTX-PRO-6000",
    "H100",
    "H100!",
    "H200",
    "B200",
    "B200+",
    "ANY",
}


def log(*a):
    print(f"{time.strftime('%H:%M:%S')}", *a, file=sys.stderr, flush=True)


class View:
    """What one container sees of a Volume: what was there when it began or reloaded, and what it wrote itself."""

    def __init__(self, own: Path, shared: Path):
        self.own, self.shared = own, shared
        self.known: dict[str, tuple[int, int]] = {}
        own.mkdir(parents=True)

    @staticmethod
    def files(root: Path) -> dict[str, tuple[int, int]]:
        found = {}
        for path in root.rglob("*"):
            try:
                facts = path.stat()
            except FileNotFoundError:
                continue
            if path.is_file():
                found[path.relative_to(root).as_posix()] = facts.st_size, facts.st_mtime_ns
        return found

    def copy(self, source: Path, target: Path, names) -> None:
        for name in names:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source / name, target / name)

    def commit(self) -> None:
        now = self.files(self.own)
        self.copy(self.own, self.shared, [name for name in now if self.known.get(name) != now[name]])
        for name in self.known.keys() - now.keys():
            (self.shared / name).unlink(missing_ok=True)
        self.known = now

    def reload(self) -> None:
        there = self.files(self.shared)
        self.copy(self.shared, self.own, [name for name in there if self.files(self.own).get(name) != there[name]])
        for name in self.known.keys() - there.keys():
            (self.own / name).unlink(missing_ok=True)
        self.known = self.files(self.own)


class World:
    """All the state, shared by the two gRPC services and the HTTP server."""

    def __init__(self, a):
        self.a = a
        self.dir = Path(a.state).resolve()
        for d in ("blobs", "files", "blocks", "volumes", "tasks"):
            (self.dir / d).mkdir(parents=True, exist_ok=True)
        self.n = collections.Counter()
        self.rpcs = collections.Counter()
        self.views: dict[tuple[str, str], View] = {}
        self.fail_rpc: dict[str, list] = {}
        self.apps: dict[str, dict] = {}
        self.deployed: dict[str, str] = {}
        self.functions: dict[str, dict] = {}
        self.calls: dict[str, dict] = {}
        self.inputs: dict[str, dict] = {}
        self.images: dict[str, dict] = {}
        self.image_key: dict[bytes, str] = {}
        self.mounts: dict[str, list] = {}
        self.secrets: dict[str, dict] = {}
        self.named: dict[tuple, str] = {}
        self.volumes: dict[str, dict] = {}
        self.tasks: dict[str, dict] = {}
        self.cond = asyncio.Condition()
        self.http = self.url = ""

    def new(self, prefix: str) -> str:
        self.n[prefix] += 1
        return f"{prefix}-{self.n[prefix]:022d}"  # the CLI knows an id by its 22 characters

    async def changed(self):
        async with self.cond:
            self.cond.notify_all()

    async def wait_for(self, pred, timeout):
        async with self.cond:
            try:
                await asyncio.wait_for(self.cond.wait_for(pred), max(timeout, 0.001))
            except asyncio.TimeoutError:
                pass
        return pred()

    # ---- logs: one list for each app
    def add_log(self, app_id, data: bytes, fd, task_id="", call_id="", function_id=""):
        entry = dict(
            data=data.decode("utf-8", "replace"),
            fd=fd,
            task_id=task_id,
            call_id=call_id,
            function_id=function_id,
            t=time.time_ns(),
        )
        self.apps[app_id]["logs"].append(entry)

    def batches(self, app_id, start, req):
        out = []
        for i, e in enumerate(self.apps[app_id]["logs"][start:], start):
            if req.function_call_id and e["call_id"] != req.function_call_id:
                continue
            if req.task_id and e["task_id"] != req.task_id:
                continue
            if req.function_id and e["function_id"] != req.function_id:
                continue
            src = getattr(req, "file_descriptor", 0) or getattr(req, "source", 0)
            if src and src != e["fd"]:
                continue
            item = pb.TaskLogs(
                data=e["data"],
                file_descriptor=e["fd"],
                timestamp=e["t"] / 1e9,
                timestamp_ns=e["t"],
                function_call_id=e["call_id"],
                container_id=e["task_id"],
            )
            out.append(
                pb.TaskLogsBatch(
                    task_id=e["task_id"], items=[item], entry_id=f"{i + 1}-0", function_id=e["function_id"]
                )
            )
        return out

    # ---- containers
    def stage(self, task_id, mount_ids, volume_mounts) -> tuple[list[str], Path]:
        """Lay out a task's overlay. Returns the argv prefix that enters it."""
        t = self.dir / "tasks" / task_id
        for d in ("upper", "work", "merged"):
            (t / d).mkdir(parents=True)
        for mid in mount_ids:
            for name, sha in self.mounts.get(mid, []):
                p = t / "upper" / name.lstrip("/")
                p.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(self.dir / "files" / sha, p)
        (t / "upper" / "root").mkdir(exist_ok=True)
        q = lambda s: "'" + str(s).replace("'", "'\\''") + "'"
        m = t / "merged"
        sh = [
            f"mount -t overlay overlay -o lowerdir=/,upperdir={q(t / 'upper')},workdir={q(t / 'work')} {q(m)}",
            f"mount --rbind /proc {q(m)}/proc",
            f"mount --rbind /dev {q(m)}/dev",
        ]
        for h in self.a.hide:
            sh.append(f"mount -t tmpfs tmpfs {q(str(m) + h)}")
        for v in volume_mounts:
            shared = self.vol_path(v.volume_id, v.sub_path or "")
            shared.mkdir(parents=True, exist_ok=True)
            src = t / "volumes" / v.volume_id
            self.views[task_id, v.volume_id] = view = View(src, shared)
            view.reload()
            sh += [f"mkdir -p {q(str(m) + v.mount_path)}", f"mount --bind {q(src)} {q(str(m) + v.mount_path)}"]
            if v.read_only:
                sh.append(f"mount -o remount,bind,ro {q(str(m) + v.mount_path)}")
        sh.append(f'exec chroot {q(m)} /bin/sh -c \'cd "$0" && exec "$@"\' "$FAKE_WORKDIR" "$@"')
        return ["unshare", "-m", "--propagation", "private", "sh", "-ec", "\n".join(sh), "sh"], t

    def vol_path(self, vid, sub="") -> Path:
        root = (self.dir / "volumes" / self.volumes[vid]["dir"]).resolve()
        p = (root / sub.lstrip("/")).resolve()
        if p != root and root not in p.parents:
            raise GRPCError(Status.INVALID_ARGUMENT, f"bad path {sub!r}")
        return p

    def clean_env(self, secret_ids=(), extra=None):
        env = {
            "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            "HOME": "/root",
            "LANG": "C.UTF-8",
            "PYTHONUNBUFFERED": "1",
            "MODAL_SERVER_URL": self.url,
            "MODAL_IS_REMOTE": "1",
            "MODAL_ENVIRONMENT": "main",
            "MODAL_CLOUD_PROVIDER": "CLOUD_PROVIDER_FAKE",
            "MODAL_REGION": "local",
        }
        for s in secret_ids:
            env.update(self.secrets.get(s, {}).get("env", {}))
        env.update(extra or {})
        return env

    async def pump(self, stream, fd, app_id, task_id, function_id=""):
        async for line in stream:
            t = self.tasks.get(task_id, {})
            self.add_log(app_id, line, fd, task_id, t.get("call_id", ""), function_id)
            await self.changed()

    async def start_container(self, fid: str):
        f = self.functions[fid]
        d: pb.Function = f["def"]
        task_id = self.new("ta")
        img = self.image_chain(d.image_id)
        prefix, tdir = self.stage(task_id, list(d.mount_ids), list(d.volume_mounts))
        args = pb.ContainerArguments(
            task_id=task_id,
            function_id=fid,
            app_id=f["app_id"],
            function_def=d,
            environment_name="main",
            app_layout=self.layout(f["app_id"]),
        )
        (tdir / "upper" / "modal_args.bin").write_bytes(args.SerializeToString())
        server, url = await serve(Control(self, task_id))
        env = self.clean_env(
            d.secret_ids,
            {
                "MODAL_SERVER_URL": url,
                "MODAL_TASK_ID": task_id,
                "MODAL_CONTAINER_ARGUMENTS_PATH": "/modal_args.bin",
                "PYTHONPATH": "/root",
                "FAKE_WORKDIR": img["workdir"] or "/root",
                "MODAL_IMAGE_ID": d.image_id,
                **img["env"],
            },
        )
        proc = await asyncio.create_subprocess_exec(
            *prefix,
            self.a.container_python,
            "-m",
            "modal._container_entrypoint",
            env=env,
            cwd="/",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        self.tasks[task_id] = t = dict(
            proc=proc,
            function_id=fid,
            app_id=f["app_id"],
            call_id="",
            input_id="",
            queue=asyncio.Queue(),
            started=time.time(),
            result=None,
            server=server,
        )
        t["pumps"] = [
            asyncio.ensure_future(self.pump(s, fd, f["app_id"], task_id, fid))
            for s, fd in ((proc.stdout, pb.FILE_DESCRIPTOR_STDOUT), (proc.stderr, pb.FILE_DESCRIPTOR_STDERR))
        ]
        return task_id

    async def run_input(self, input_id: str):
        i = self.inputs[input_id]
        try:
            await self._run_input(input_id)
        except Exception as e:
            log("fake_modal bug:", repr(e))
            i["result"] = (R(status=R.GENERIC_STATUS_INTERNAL_FAILURE, exception=f"fake_modal: {e!r}"), 0)
            i.update(status="GENERIC_STATUS_INTERNAL_FAILURE", finished=time.time())
            await self.changed()
            raise

    async def _run_input(self, input_id: str):
        """Run one input to its end, with time-out, preemption and retries, one container for each attempt."""
        i = self.inputs[input_id]
        f = self.functions[i["function_id"]]
        d = f["def"]
        while True:
            i["attempts"] += 1
            task_id = await self.start_container(i["function_id"])
            t = self.tasks[task_id]
            t.update(call_id=i["call_id"], input_id=input_id)
            i.update(task_id=task_id, status="running", result=None, started=time.time())
            await t["queue"].put(
                pb.FunctionGetInputsItem(
                    input_id=input_id,
                    input=i["input"],
                    function_call_id=i["call_id"],
                    retry_count=i["retries"],
                    function_call_invocation_type=i["invocation"],
                    function_map_idx=i["idx"],
                )
            )
            limit = d.timeout_secs or 300
            done = asyncio.ensure_future(self.wait_for(lambda: i["result"] is not None or i["cancelled"], limit))
            exited = asyncio.ensure_future(t["proc"].wait())
            await asyncio.wait({done, exited}, return_when=asyncio.FIRST_COMPLETED)
            if exited.done() and i["result"] is None:
                await asyncio.sleep(0.1)
            done.cancel()
            preempted = t.pop("preempted", False)
            if i["cancelled"]:
                i["result"] = (R(status=R.GENERIC_STATUS_TERMINATED, exception="Function call was cancelled"), 0)
            elif i["result"] is None and preempted:
                i["preemptions"] += 1
                await self.stop(t)
                continue  # the same input, again; no retry used up
            elif i["result"] is None and t["proc"].returncode is None:
                i["result"] = (
                    R(
                        status=R.GENERIC_STATUS_TIMEOUT,
                        exception=f"Task's current input {input_id} hit its timeout of {limit}s",
                    ),
                    0,
                )
            elif i["result"] is None:
                if t["result"] is not None:  # the container reported an init failure
                    i["result"] = (t["result"], pb.DATA_FORMAT_PICKLE)
                else:
                    rc = t["proc"].returncode
                    i["result"] = (
                        R(
                            status=R.GENERIC_STATUS_INTERNAL_FAILURE,
                            exitcode=rc if rc >= 0 else 128 - rc,
                            exception=f"container exited with code {rc}",
                        ),
                        0,
                    )
            await self.stop(t, 0.2 if i["cancelled"] else 3.0)
            st = i["result"][0].status
            if st in (R.GENERIC_STATUS_SUCCESS, R.GENERIC_STATUS_TERMINATED) or i["retries"] >= d.retry_policy.retries:
                break
            p = d.retry_policy
            await asyncio.sleep(p.initial_delay_ms / 1000 * max(p.backoff_coefficient, 1) ** i["retries"])
            i["retries"] += 1
            if i["cancelled"]:
                break
        i["status"] = R.GenericStatus.Name(i["result"][0].status)
        i["finished"] = time.time()
        log("input", input_id, i["status"], f"attempts={i['attempts']}")
        await self.changed()

    async def stop(self, t, grace=3.0):
        p = t["proc"]
        if t.get("queue"):
            await t["queue"].put(pb.FunctionGetInputsItem(kill_switch=True))
        for sig, wait in ((None, grace), (signal.SIGINT, grace), (signal.SIGKILL, 10)):
            if p.returncode is not None:
                break
            if sig:
                try:
                    os.killpg(p.pid, sig)
                except ProcessLookupError:
                    pass
            try:
                await asyncio.wait_for(p.wait(), wait)
            except asyncio.TimeoutError:
                pass
        try:
            os.killpg(p.pid, signal.SIGKILL)  # children left behind in the session
        except ProcessLookupError:
            pass
        await asyncio.wait(t["pumps"], timeout=2)
        if t.get("server"):
            t["server"].close()
        await self.changed()

    # ---- images: env and workdir are honoured, the rest is recorded
    def image_chain(self, image_id):
        cmds, env, workdir = [], {}, ""
        seen = []
        while image_id and image_id in self.images:
            seen.append(image_id)
            im = self.images[image_id]["proto"]
            image_id = im.base_images[0].image_id if im.base_images else ""
        for iid in reversed(seen):
            for c in self.images[iid]["proto"].dockerfile_commands:
                cmds.append(c)
                w = c.split(None, 1)
                if c.startswith("ENV ") and "=" in c:
                    k, v = c[4:].split("=", 1)
                    env[k.strip()] = v.strip().strip("'\"")
                elif c.startswith("WORKDIR ") and len(w) == 2:
                    workdir = w[1].strip()
        env = {k: v for k, v in env.items() if k not in ("PATH", "LD_LIBRARY_PATH")}
        return dict(cmds=cmds, env=env, workdir=workdir if workdir and os.path.isdir(workdir) else "")

    def layout(self, app_id):
        a = self.apps[app_id]
        ids = {}
        for f in a["function_ids"].values():
            if f in self.functions:
                ids[f] = 1
                ids.update((d.object_id, 1) for d in self.functions[f]["def"].object_dependencies)
        return pb.AppLayout(
            function_ids=a["function_ids"], class_ids=a["class_ids"], objects=[self.object(i) for i in ids]
        )

    def object(self, oid):
        kind = oid[:2]
        o = pb.Object(object_id=oid)
        if kind == "fu":
            o.function_handle_metadata.CopyFrom(self.handle(oid))
        elif kind == "mo":
            o.mount_handle_metadata.content_checksum_sha256_hex = "0" * 64
        elif kind == "vo":
            v = self.volumes[oid]
            o.volume_metadata.version, o.volume_metadata.name = v["version"], v["name"]
        return o

    def handle(self, fid):
        f = self.functions[fid]
        d = f["def"]
        return pb.FunctionHandleMetadata(
            function_name=d.function_name,
            function_type=d.function_type,
            is_method=d.is_method,
            app_id=f["app_id"],
            definition_id=f"de-{fid[3:]}",
            function_schema=d.function_schema,
            max_object_size_bytes=2 * 1024 * 1024,
            supported_input_formats=d.supported_input_formats,
            supported_output_formats=d.supported_output_formats,
        )

    def state(self):
        def res(r):
            return {
                "gpu": r.gpu_config.gpu_type,
                "gpu_count": r.gpu_config.count,
                "cpu_milli": r.milli_cpu,
                "memory_mb": r.memory_mb,
                "memory_max_mb": r.memory_mb_max,
            }

        def vols(vm):
            return [
                {"name": self.volumes[v.volume_id]["name"], "path": v.mount_path, "read_only": v.read_only} for v in vm
            ]

        fs = {}
        for k, f in self.functions.items():
            d = f["def"]
            fs[k] = dict(
                app_id=f["app_id"],
                name=d.function_name,
                module=d.module_name,
                timeout=d.timeout_secs,
                startup_timeout=d.startup_timeout_secs,
                serialized=bool(d.function_serialized),
                single_use_containers=d.single_use_containers,
                max_containers=d.concurrency_limit,
                retries=MessageToDict(d.retry_policy),
                volumes=vols(d.volume_mounts),
                regions=list(d.scheduler_placement.regions),
                cloud=d.cloud_provider_str,
                secret_keys=sorted(x for s in d.secret_ids for x in self.secrets[s]["env"]),
                image=self.image_chain(d.image_id)["cmds"],
                files=sorted(n for m in d.mount_ids for n, _ in self.mounts.get(m, [])),
                **res(d.resources),
            )
        calls = {
            k: dict(
                function=self.functions[c["function_id"]]["def"].function_name,
                inputs=[
                    {
                        x: y
                        for x, y in self.inputs[i].items()
                        if x
                        in (
                            "status",
                            "attempts",
                            "retries",
                            "preemptions",
                            "task_id",
                            "started",
                            "finished",
                            "cancelled",
                        )
                    }
                    for i in c["inputs"]
                ],
            )
            for k, c in self.calls.items()
        }
        apps = {
            k: {x: y for x, y in a.items() if x not in ("logs",)} | {"n_logs": len(a["logs"])}
            for k, a in self.apps.items()
        }
        return dict(
            apps=apps,
            deployed=self.deployed,
            functions=fs,
            calls=calls,
            volumes={v["name"]: str(self.dir / "volumes" / v["dir"]) for v in self.volumes.values()},
            rpcs=dict(self.rpcs),
        )


def with_fallback(base):
    """Make a concrete class of a service base: an RPC that is not written here answers UNIMPLEMENTED."""

    def deco(cls):
        for name in getattr(base, "__abstractmethods__", ()):
            if name not in cls.__dict__:

                async def f(self, stream, _n=name):
                    await stream.recv_message()
                    log("UNIMPLEMENTED", _n)
                    raise GRPCError(Status.UNIMPLEMENTED, f"fake_modal has no {_n}")

                setattr(cls, name, f)
        cls.__abstractmethods__ = frozenset()
        return cls

    return deco


def rpc(fn):
    """Register a unary RPC: `async def Name(self, request) -> response`."""

    async def wrapped(self, stream):
        r = await stream.recv_message()
        await stream.send_message(await fn(self, r))

    wrapped.__name__ = fn.__name__
    return wrapped


def noop(*names):
    def deco(cls):
        for n in names:

            async def f(self, stream):
                await stream.recv_message()
                await stream.send_message(Empty())

            setattr(cls, n, f)
        return cls

    return deco


@with_fallback(api_grpc.ModalClientBase)
@noop("AppHeartbeat", "VolumeHeartbeat", "ContainerHello", "AppSetTags", "TaskCurrentInputs", "ContainerLog")
class Control(api_grpc.ModalClientBase):
    def __init__(self, w: World, task_id: str = ""):
        self.w = w
        self.task_id = task_id  # each container talks to a port of its own, which says who it is

    async def recv_request(self, event: RecvRequest):
        name = event.method_name.rsplit("/", 1)[1]
        self.w.rpcs[name] += 1
        md = event.metadata
        if md.get("x-modal-client-type") == str(pb.CLIENT_TYPE_CLIENT):
            if (
                md.get("x-modal-token-id") != self.w.a.token_id
                or md.get("x-modal-token-secret") != self.w.a.token_secret
            ):
                raise GRPCError(Status.UNAUTHENTICATED, "Token ID or secret is not valid")
        f = self.w.fail_rpc.get(name)
        if f and f[1] > 0:
            f[1] -= 1
            raise GRPCError(getattr(Status, f[0]), f"injected failure of {name}")

    @rpc
    async def ClientHello(self, r):
        return pb.ClientHelloResponse(image_builder_version="2025.06")

    @rpc
    async def AuthTokenGet(self, r):
        return pb.AuthTokenGetResponse(token=JWT)

    @rpc
    async def EnvironmentGetOrCreate(self, r):
        return pb.EnvironmentGetOrCreateResponse(
            environment_id="en-000001",
            metadata=pb.EnvironmentMetadata(
                name=r.deployment_name or "main",
                settings=pb.EnvironmentSettings(image_builder_version="2025.06", webhook_suffix=""),
            ),
        )

    @rpc
    async def WorkspaceNameLookup(self, r):
        return pb.WorkspaceNameLookupResponse(workspace_name="fake", username="fake")

    # ---- apps
    def _app(self, desc, state):
        aid = self.w.new("ap")
        self.w.apps[aid] = dict(
            description=desc,
            state=state,
            logs=[],
            function_ids={},
            class_ids={},
            disconnects=[],
            created=time.time(),
            name="",
        )
        return aid

    @rpc
    async def AppCreate(self, r):
        aid = self._app(r.description, pb.AppState.Name(r.app_state))
        return pb.AppCreateResponse(
            app_id=aid, app_page_url=f"{self.w.http}/app/{aid}", app_logs_url=f"{self.w.http}/app/{aid}/logs"
        )

    @rpc
    async def AppGetOrCreate(self, r):
        aid = self.w.deployed.get(r.app_name)
        if not aid:
            if r.object_creation_type != pb.OBJECT_CREATION_TYPE_CREATE_IF_MISSING:
                raise GRPCError(Status.NOT_FOUND, f"App '{r.app_name}' not found in environment 'main'")
            aid = self._app(r.app_name, "APP_STATE_DEPLOYED")
            self.w.deployed[r.app_name] = aid
            self.w.apps[aid]["name"] = r.app_name
        return pb.AppGetOrCreateResponse(app_id=aid)

    @rpc
    async def AppGetByDeploymentName(self, r):
        return pb.AppGetByDeploymentNameResponse(app_id=self.w.deployed.get(r.name, ""), environment_name="main")

    @rpc
    async def AppGetLayout(self, r):
        return pb.AppGetLayoutResponse(app_layout=self.w.layout(r.app_id))

    @rpc
    async def AppGetLifecycle(self, r):
        return pb.AppGetLifecycleResponse(
            lifecycle=pb.AppLifecycle(app_state=pb.AppState.Value(self.w.apps[r.app_id]["state"]))
        )

    @rpc
    async def AppPublish(self, r):
        a = self.w.apps[r.app_id]
        a["function_ids"], a["class_ids"] = dict(r.function_ids), dict(r.class_ids)
        a["state"] = pb.AppState.Name(r.app_state)
        a["tags"] = dict(r.tags)
        if r.app_state == pb.APP_STATE_DEPLOYED:
            self.w.deployed[r.name] = r.app_id
            a["name"] = r.name
        await self.w.changed()
        return pb.AppPublishResponse(url=f"{self.w.http}/app/{r.app_id}", deployed_at=time.time())

    def _live(self, app_id):
        return [c for c in self.w.calls.values() if c["app_id"] == app_id and not self._done(c)]

    def _done(self, c):
        return all(self.w.inputs[i]["finished"] for i in c["inputs"])

    async def _stop_app(self, app_id):
        self.w.apps[app_id]["state"] = "APP_STATE_STOPPED"
        for c in self._live(app_id):
            for i in c["inputs"]:
                self.w.inputs[i]["cancelled"] = True
        await self.w.changed()

    async def _linger(self, app_id):
        # a detached App whose client left: only the call triggered last is kept alive
        calls = [c for c in self.w.calls.values() if c["app_id"] == app_id]
        for c in calls[:-1]:
            for i in c["inputs"]:
                self.w.inputs[i]["cancelled"] = True
        await self.w.changed()
        await self.w.wait_for(lambda: not self._live(app_id), 1e6)
        if self.w.apps[app_id]["state"].startswith("APP_STATE_DETACHED"):
            await self._stop_app(app_id)

    @rpc
    async def AppClientDisconnect(self, r):
        a = self.w.apps[r.app_id]
        a["disconnects"].append(pb.AppDisconnectReason.Name(r.reason))
        if a["state"] == "APP_STATE_DETACHED" and self._live(r.app_id):
            a["state"] = "APP_STATE_DETACHED_DISCONNECTED"
            asyncio.ensure_future(self._linger(r.app_id))
        elif a["state"] != "APP_STATE_DEPLOYED":
            await self._stop_app(r.app_id)
        return Empty()

    @rpc
    async def AppStop(self, r):
        await self._stop_app(r.app_id)
        return Empty()

    @rpc
    async def AppList(self, r):
        out = pb.AppListResponse()
        for k, a in self.w.apps.items():
            out.apps.add(
                app_id=k,
                description=a["description"],
                state=pb.AppState.Value(a["state"]),
                created_at=a["created"],
                n_running_tasks=len(self._live(k)),
                name=a["name"],
            )
        return out

    async def AppGetLogs(self, stream):
        r = await stream.recv_message()
        w = self.w
        pos = int(r.last_entry_id.split("-")[0]) if r.last_entry_id else 0
        end = time.time() + (r.timeout or 55)
        logs = w.apps[r.app_id]["logs"]
        stopped = lambda: w.apps[r.app_id]["state"] == "APP_STATE_STOPPED"
        while True:
            for b in w.batches(r.app_id, pos, r):
                await stream.send_message(b)
            pos = len(logs)
            if stopped():
                await stream.send_message(pb.TaskLogsBatch(app_done=True, entry_id=f"{pos}-0"))
                return
            if time.time() >= end:
                return
            await w.wait_for(lambda: len(logs) > pos or stopped(), end - time.time())

    @rpc
    async def AppFetchLogs(self, r):
        lo = r.since.ToNanoseconds() if r.HasField("since") else 0
        hi = r.until.ToNanoseconds() if r.HasField("until") else 1 << 62
        b = [x for x in self.w.batches(r.app_id, 0, r) if lo <= x.items[0].timestamp_ns < hi]
        return pb.AppFetchLogsResponse(batches=b[-r.limit :] if r.limit else b)

    # ---- images, mounts, secrets, blobs
    @rpc
    async def ImageGetOrCreate(self, r):
        key = r.image.SerializeToString(deterministic=True)
        iid = self.w.image_key.get(key)
        if not iid:
            iid = self.w.image_key[key] = self.w.new("im")
            self.w.images[iid] = dict(proto=r.image)
        return pb.ImageGetOrCreateResponse(
            image_id=iid,
            result=R(status=R.GENERIC_STATUS_SUCCESS),
            metadata=pb.ImageMetadata(image_builder_version=r.builder_version),
        )

    @rpc
    async def ImageFromId(self, r):
        return pb.ImageFromIdResponse(image_id=r.image_id, metadata=pb.ImageMetadata(image_builder_version="2025.06"))

    async def ImageJoinStreaming(self, stream):
        await stream.recv_message()
        await stream.send_message(
            pb.ImageJoinStreamingResponse(
                result=R(status=R.GENERIC_STATUS_SUCCESS),
                eof=True,
                metadata=pb.ImageMetadata(image_builder_version="2025.06"),
            )
        )

    @rpc
    async def MountPutFile(self, r):
        p = self.w.dir / "files" / r.sha256_hex
        if r.WhichOneof("data_oneof") == "data" or r.data:
            p.write_bytes(r.data)
        elif r.data_blob_id:
            shutil.copyfile(self.w.dir / "blobs" / r.data_blob_id, p)
        return pb.MountPutFileResponse(exists=p.exists())

    @rpc
    async def MountBatchedCheckExistence(self, r):
        return pb.MountBatchedCheckExistenceResponse(
            missing_sha256_hex_hashes=[h for h in r.sha256_hex_hashes if not (self.w.dir / "files" / h).exists()]
        )

    @rpc
    async def MountGetOrCreate(self, r):
        key = (
            ("mo", r.deployment_name)
            if r.deployment_name
            else ("mo", tuple(sorted((f.filename, f.sha256_hex) for f in r.files)))
        )
        mid = self.w.named.get(key)
        if not mid:
            mid = self.w.named[key] = self.w.new("mo")
            self.w.mounts[mid] = [(f.filename, f.sha256_hex) for f in r.files]
        return pb.MountGetOrCreateResponse(
            mount_id=mid,
            handle_metadata=pb.MountHandleMetadata(
                content_checksum_sha256_hex=hashlib.sha256(repr(key).encode()).hexdigest()
            ),
        )

    @rpc
    async def SecretGetOrCreate(self, r):
        w = self.w
        T = r.object_creation_type
        if r.deployment_name:
            key = ("st", r.deployment_name)
            sid = w.named.get(key)
            if not sid and T == pb.OBJECT_CREATION_TYPE_UNSPECIFIED:
                raise GRPCError(Status.NOT_FOUND, f"Secret '{r.deployment_name}' not found in environment 'main'")
            if sid and T == pb.OBJECT_CREATION_TYPE_CREATE_FAIL_IF_EXISTS:
                raise GRPCError(Status.ALREADY_EXISTS, f"Secret '{r.deployment_name}' already exists")
            if not sid:
                sid = w.named[key] = w.new("st")
                w.secrets[sid] = dict(env={})
            if T != pb.OBJECT_CREATION_TYPE_UNSPECIFIED:
                w.secrets[sid]["env"].update(r.env_dict)
        else:
            sid = w.new("st")
            w.secrets[sid] = dict(env=dict(r.env_dict))
        missing = [k for k in r.required_keys if k not in w.secrets[sid]["env"]]
        if missing:
            raise GRPCError(Status.FAILED_PRECONDITION, f"Secret is missing key(s): {missing}")
        return pb.SecretGetOrCreateResponse(secret_id=sid)

    @rpc
    async def BlobCreate(self, r):
        b = self.w.new("bl")
        return pb.BlobCreateResponse(blob_id=b, upload_url=f"{self.w.http}/blob/{b}")

    @rpc
    async def BlobGet(self, r):
        return pb.BlobGetResponse(download_url=f"{self.w.http}/blob/{r.blob_id}")

    # ---- volumes: plain folders under STATE/volumes
    @rpc
    async def VolumeGetOrCreate(self, r):
        w, T = self.w, r.object_creation_type
        name = r.deployment_name or w.new("ephemeral")
        vid = w.named.get(("vo", name))
        if not vid and T == pb.OBJECT_CREATION_TYPE_UNSPECIFIED:
            raise GRPCError(Status.NOT_FOUND, f"Volume '{name}' not found in environment 'main'")
        if vid and T == pb.OBJECT_CREATION_TYPE_CREATE_FAIL_IF_EXISTS:
            raise GRPCError(Status.ALREADY_EXISTS, f"Volume '{name}' already exists")
        if not vid:
            vid = w.named[("vo", name)] = w.new("vo")
            w.volumes[vid] = dict(name=name, dir=name, version=r.version or pb.VOLUME_FS_VERSION_V1)
            (w.dir / "volumes" / name).mkdir(parents=True, exist_ok=True)
        v = w.volumes[vid]
        return pb.VolumeGetOrCreateResponse(
            volume_id=vid, version=v["version"], metadata=pb.VolumeMetadata(version=v["version"], name=name)
        )

    @rpc
    async def VolumeGetById(self, r):
        v = self.w.volumes.get(r.volume_id)
        if not v:
            raise GRPCError(Status.NOT_FOUND, f"Volume {r.volume_id} not found")
        return pb.VolumeGetByIdResponse(
            volume_id=r.volume_id, metadata=pb.VolumeMetadata(version=v["version"], name=v["name"])
        )

    @rpc
    async def VolumeCommit(self, r):
        if view := self.w.views.get((self.task_id, r.volume_id)):
            view.commit()
        return pb.VolumeCommitResponse(skip_reload=False)

    @rpc
    async def VolumeReload(self, r):
        if view := self.w.views.get((self.task_id, r.volume_id)):
            view.reload()
        return Empty()

    @rpc
    async def VolumeDelete(self, r):
        v = self.w.volumes.pop(r.volume_id)
        self.w.named.pop(("vo", v["name"]), None)
        shutil.rmtree(self.w.dir / "volumes" / v["dir"], ignore_errors=True)
        return Empty()

    async def _list(self, stream, resp):
        r = await stream.recv_message()
        root = self.w.vol_path(r.volume_id)
        p = self.w.vol_path(r.volume_id, r.path)
        if not p.exists():
            raise GRPCError(Status.NOT_FOUND, f"{r.path}: no such file or directory")
        it = [p] if p.is_file() else sorted(p.rglob("*") if r.recursive else p.iterdir())
        out = resp()
        for x in it:
            s = x.stat()
            out.entries.add(
                path=str(x.relative_to(root)),
                mtime=int(s.st_mtime),
                size=s.st_size,
                type=pb.FileEntry.DIRECTORY if x.is_dir() else pb.FileEntry.FILE,
            )
        await stream.send_message(out)

    async def VolumeListFiles(self, stream):
        await self._list(stream, pb.VolumeListFilesResponse)

    async def VolumeListFiles2(self, stream):
        await self._list(stream, pb.VolumeListFiles2Response)

    @rpc
    async def VolumeGetFile2(self, r):
        p = self.w.vol_path(r.volume_id, r.path)
        if not p.is_file():
            raise GRPCError(Status.NOT_FOUND, f"{r.path}: no such file")
        size = p.stat().st_size
        start = min(r.start, size)
        n = min(r.len or size - start, size - start)
        urls, pos = [], start
        while pos < start + n:
            end = min((pos // BLOCK + 1) * BLOCK, start + n)
            urls.append(
                f"{self.w.http}/volume/{r.volume_id}?path={p.relative_to(self.w.vol_path(r.volume_id))}"
                f"&start={pos}&len={end - pos}"
            )
            pos = end
        return pb.VolumeGetFile2Response(get_urls=urls, size=size, start=start, len=n)

    def _put(self, vid, name, no_overwrite):
        p = self.w.vol_path(vid, name)
        if no_overwrite and p.exists():
            raise GRPCError(Status.ALREADY_EXISTS, f"{name}: already exists (disallow_overwrite_existing_files=True)")
        p.parent.mkdir(parents=True, exist_ok=True)
        return p

    @rpc
    async def VolumePutFiles(self, r):
        for f in r.files:
            p = self._put(r.volume_id, f.filename, r.disallow_overwrite_existing_files)
            shutil.copyfile(self.w.dir / "files" / f.sha256_hex, p)
            p.chmod(f.mode or 0o644)
        return Empty()

    @rpc
    async def VolumePutFiles2(self, r):
        out = pb.VolumePutFiles2Response()
        for fi, f in enumerate(r.files):
            for bi, b in enumerate(f.blocks):
                if not (self.w.dir / "blocks" / b.contents_sha256.hex()).exists():
                    out.missing_blocks.add(
                        file_index=fi, block_index=bi, put_url=f"{self.w.http}/block/{b.contents_sha256.hex()}"
                    )
        if not out.missing_blocks:
            for f in r.files:
                p = self._put(r.volume_id, f.path, r.disallow_overwrite_existing_files)
                with open(p, "wb") as o:
                    for bi, b in enumerate(f.blocks):
                        data = (self.w.dir / "blocks" / b.contents_sha256.hex()).read_bytes()
                        o.write(data.ljust(min(BLOCK, f.size - bi * BLOCK), b"\0"))
                p.chmod(f.mode or 0o644)
        return out

    async def _rm(self, r):
        p = self.w.vol_path(r.volume_id, r.path)
        if not p.exists():
            raise GRPCError(Status.NOT_FOUND, f"{r.path}: no such file")
        if p.is_dir():
            if not r.recursive:
                raise GRPCError(Status.INVALID_ARGUMENT, f"{r.path} is a directory")
            shutil.rmtree(p)
        else:
            p.unlink()
        return Empty()

    VolumeRemoveFile = rpc(_rm)
    VolumeRemoveFile2 = rpc(_rm)

    # ---- functions
    def _new_fn(self, app_id, d):
        fid = self.w.new("fu")
        self.w.functions[fid] = {"app_id": app_id, "def": d}
        return fid

    @rpc
    async def FunctionPrecreate(self, r):
        fid = r.existing_function_id or self._new_fn(
            r.app_id,
            pb.Function(
                function_name=r.function_name,
                function_type=r.function_type,
                function_schema=r.function_schema,
                supported_input_formats=r.supported_input_formats,
                supported_output_formats=r.supported_output_formats,
            ),
        )
        return pb.FunctionPrecreateResponse(function_id=fid, handle_metadata=self.w.handle(fid))

    @rpc
    async def FunctionCreate(self, r):
        d = r.function
        if r.HasField("function_data"):
            d = pb.Function()
            d.CopyFrom(r.function_data.ranked_functions[0].function)
        g = d.resources.gpu_config
        if g.count and g.gpu_type not in GPUS:
            raise GRPCError(Status.INVALID_ARGUMENT, f"Invalid GPU type: {g.gpu_type}")
        if g.count > 8:
            raise GRPCError(Status.INVALID_ARGUMENT, f"too many GPUs: {g.count}")
        if d.timeout_secs > 86400:
            raise GRPCError(Status.INVALID_ARGUMENT, "Function timeout must be at most 24 hours")
        fid = r.existing_function_id or self._new_fn(r.app_id, d)
        self.w.functions[fid]["def"] = d
        return pb.FunctionCreateResponse(
            function_id=fid, function=d, handle_metadata=self.w.handle(fid), function_data=self._data(fid)
        )

    def _data(self, fid):
        # the summary of a function that SDK 1.6 reads back: fields of the same name are copied over
        d = self.w.functions[fid]["def"]
        out = pb.FunctionData()
        for fd, val in d.ListFields():
            o = out.DESCRIPTOR.fields_by_name.get(fd.name)
            if o is None or o.type != fd.type:
                continue
            try:
                setattr(out, fd.name, val)
            except (AttributeError, TypeError):  # repeated, map or message
                getattr(out, fd.name).MergeFrom(val)
        del out.ranked_functions[:]
        out.ranked_functions.add(rank=0).function.CopyFrom(d)
        return out

    @rpc
    async def FunctionGet(self, r):
        aid = self.w.deployed.get(r.app_name)
        fid = aid and self.w.apps[aid]["function_ids"].get(r.object_tag)
        if not fid:
            raise GRPCError(Status.NOT_FOUND, f"Function '{r.object_tag}' of app '{r.app_name}' not found")
        return pb.FunctionGetResponse(function_id=fid, handle_metadata=self.w.handle(fid), function=self._data(fid))

    def _input(self, call, item, invocation):
        iid = self.w.new("in")
        self.w.inputs[iid] = dict(
            input=item.input,
            idx=item.idx,
            call_id=call["id"],
            function_id=call["function_id"],
            status="pending",
            invocation=invocation,
            attempts=0,
            retries=0,
            preemptions=0,
            task_id="",
            result=None,
            cancelled=False,
            started=0,
            finished=0,
        )
        call["inputs"].append(iid)
        asyncio.ensure_future(self.w.run_input(iid))
        return pb.FunctionPutInputsResponseItem(idx=item.idx, input_id=iid, input_jwt=iid)

    @rpc
    async def FunctionMap(self, r):
        f = self.w.functions[r.function_id]
        cid = self.w.new("fc")
        self.w.calls[cid] = c = dict(
            id=cid,
            function_id=r.function_id,
            app_id=f["app_id"],
            inputs=[],
            t=time.time(),
            invocation=r.function_call_invocation_type,
        )
        items = [self._input(c, i, r.function_call_invocation_type) for i in r.pipelined_inputs]
        return pb.FunctionMapResponse(
            function_call_id=cid,
            pipelined_inputs=items,
            function_call_jwt=cid,
            retry_policy=f["def"].retry_policy,
            sync_client_retries_enabled=False,
            max_inputs_outstanding=1000,
        )

    @rpc
    async def FunctionPutInputs(self, r):
        c = self.w.calls[r.function_call_id]
        return pb.FunctionPutInputsResponse(inputs=[self._input(c, i, c["invocation"]) for i in r.inputs])

    @rpc
    async def FunctionCallFromId(self, r):
        c = self.w.calls.get(r.function_call_id)
        if not c:
            raise GRPCError(Status.NOT_FOUND, f"Function call {r.function_call_id} not found")
        out = pb.FunctionCallFromIdResponse(function_call_id=c["id"], num_inputs=len(c["inputs"]))
        out.metadata.app_id, out.metadata.function_id = c["app_id"], c["function_id"]
        return out

    @rpc
    async def FunctionGetOutputs(self, r):
        w = self.w
        c = w.calls.get(r.function_call_id)
        if not c:
            raise GRPCError(Status.NOT_FOUND, f"Function call {r.function_call_id} not found")
        sent = c.setdefault("sent", set())

        def ready():
            out = []
            for iid in c["inputs"]:
                i = w.inputs[iid]
                if not i["finished"]:
                    continue
                if r.HasField("start_idx"):
                    if r.start_idx <= i["idx"] <= r.end_idx:
                        out.append(iid)
                elif iid not in sent:
                    out.append(iid)
            return out

        ids = await w.wait_for(ready, r.timeout)
        resp = pb.FunctionGetOutputsResponse(
            num_unfinished_inputs=sum(not w.inputs[i]["finished"] for i in c["inputs"])
        )
        for iid in ids:
            i = w.inputs[iid]
            if not r.HasField("start_idx"):
                sent.add(iid)
            resp.outputs.add(
                result=i["result"][0],
                data_format=i["result"][1],
                idx=i["idx"],
                input_id=iid,
                task_id=i["task_id"],
                retry_count=i["retries"],
                output_created_at=i["finished"],
            )
        resp.last_entry_id = f"{len(sent)}-0"
        return resp

    @rpc
    async def FunctionCallCancel(self, r):
        c = self.w.calls.get(r.function_call_id)
        if not c:
            raise GRPCError(Status.NOT_FOUND, f"Function call {r.function_call_id} not found")
        for i in c["inputs"]:
            if not self.w.inputs[i]["finished"]:
                self.w.inputs[i]["cancelled"] = True
        await self.w.changed()
        return Empty()

    @rpc
    async def FunctionGetCallGraph(self, r):
        c = self.w.calls[r.function_call_id]
        st = lambda i: i["result"][0].status if i["finished"] else R.GENERIC_STATUS_UNSPECIFIED
        out = pb.FunctionGetCallGraphResponse()
        out.function_calls.add(function_call_id=c["id"], function_name="f", module_name="m")
        for iid in c["inputs"]:
            i = self.w.inputs[iid]
            out.inputs.add(input_id=iid, status=st(i), function_call_id=c["id"], task_id=i["task_id"])
        return out

    @rpc
    async def TaskList(self, r):
        return pb.TaskListResponse()

    # ---- the container's side
    @rpc
    async def ContainerHeartbeat(self, r):
        await asyncio.sleep(1)
        return pb.ContainerHeartbeatResponse()

    @rpc
    async def FunctionGetInputs(self, r):
        try:
            item = await asyncio.wait_for(self.w.tasks[self.task_id]["queue"].get(), 5)
            return pb.FunctionGetInputsResponse(inputs=[item])
        except asyncio.TimeoutError:
            return pb.FunctionGetInputsResponse(rate_limit_sleep_duration=0.05)

    @rpc
    async def FunctionPutOutputs(self, r):
        for o in r.outputs:
            i = self.w.inputs[o.input_id]
            live = not i["cancelled"] and not i["finished"] and i["result"] is None
            if live and o.retry_count == i["retries"] and o.result.status != R.GENERIC_STATUS_TERMINATED:
                i["result"] = (o.result, o.data_format)
        await self.w.changed()
        return Empty()

    @rpc
    async def TaskResult(self, r):
        if self.task_id in self.w.tasks and r.result.status != R.GENERIC_STATUS_SUCCESS:
            self.w.tasks[self.task_id]["result"] = r.result
        return Empty()

    @rpc
    async def ContainerStop(self, r):
        t = self.w.tasks.get(r.task_id)
        if t:
            asyncio.ensure_future(self.w.stop(t))
        return pb.ContainerStopResponse()


async def http_app(w: World):
    async def put(req):
        kind = req.match_info["kind"]
        (w.dir / {"blob": "blobs", "block": "blocks"}[kind] / req.match_info["id"]).write_bytes(await req.read())
        return web.Response(text="ok", headers={"ETag": '"x"'})

    async def get_blob(req):
        return web.Response(body=(w.dir / "blobs" / req.match_info["id"]).read_bytes())

    async def get_vol(req):
        with open(w.vol_path(req.match_info["id"], req.query["path"]), "rb") as f:
            f.seek(int(req.query["start"]))
            return web.Response(body=f.read(int(req.query["len"])))

    async def state(req):
        return web.json_response(w.state(), dumps=lambda o: json.dumps(o, indent=1, default=str))

    async def act(req):
        what, q = req.match_info["what"], req.query
        if what == "fail_rpc":
            w.fail_rpc[q["name"]] = [q.get("status", "UNAVAILABLE"), int(q.get("count", 1))]
            return web.Response(text="ok")
        i = w.inputs[w.calls[q["call"]]["inputs"][int(q.get("index", 0))]]
        t = w.tasks[i["task_id"]]
        if what == "preempt":
            t["preempted"] = True

            async def go():
                os.killpg(t["proc"].pid, signal.SIGINT)
                await asyncio.sleep(float(q.get("grace", 30)))
                if t["proc"].returncode is None:
                    os.killpg(t["proc"].pid, signal.SIGKILL)

            asyncio.ensure_future(go())
        elif what == "kill":
            os.killpg(t["proc"].pid, signal.SIGKILL)
        return web.Response(text="ok")

    app = web.Application(client_max_size=1 << 34)
    app.add_routes(
        [
            web.put("/{kind:blob|block}/{id}", put),
            web.get("/blob/{id}", get_blob),
            web.get("/volume/{id}", get_vol),
            web.get("/state", state),
            web.post("/{what:preempt|kill|fail_rpc}", act),
        ]
    )
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    return f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"


async def serve(service, port=0):
    s = grpclib.server.Server([service])
    if hasattr(service, "recv_request"):
        listen(s, RecvRequest, service.recv_request)
    await s.start("127.0.0.1", port)
    return s, f"http://127.0.0.1:{s._server.sockets[0].getsockname()[1]}"


async def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--state", required=True, help="folder for volumes, files and env.sh")
    ap.add_argument("--port", type=int, default=0)
    ap.add_argument("--container-python", default=sys.executable)
    ap.add_argument("--hide", action="append", default=[], help="an absolute folder that containers must not see")
    ap.add_argument("--token-id", default="ak-fake")
    ap.add_argument("--token-secret", default="as-fake")
    a = ap.parse_args()
    w = World(a)
    w.http = await http_app(w)
    server, w.url = await serve(Control(w), a.port)
    (w.dir / "env.sh").write_text(
        f"export MODAL_SERVER_URL={w.url}\nexport MODAL_TOKEN_ID={a.token_id}\n"
        f"export MODAL_TOKEN_SECRET={a.token_secret}\nexport MODAL_ENVIRONMENT=main\n"
        f"export FAKE_MODAL_CONTROL={w.http}\n"
    )
    print("READY", w.url, w.http, flush=True)
    stop = asyncio.Event()
    for s in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(s, stop.set)
    await stop.wait()
    for t in list(w.tasks.values()):
        if t["proc"].returncode is None:
            try:
                os.killpg(t["proc"].pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(main())
