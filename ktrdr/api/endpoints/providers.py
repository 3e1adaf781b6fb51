"""Where bars can come from, and how each source stands."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, Field

from ktrdr.api.deps import Answer, TheWorkspace
from ktrdr.providers.base import PROVIDERS, Standing
from ktrdr.providers.ib import Ib
from ktrdr.providers.ib_check import Check, check
from ktrdr.settings import Settings
from ktrdr.stores.bars import canonical

router = APIRouter(tags=["data"])


class ProviderSummary(BaseModel):
    """A provider, and whether it could be asked now."""

    name: str
    description: str
    options: list[str]
    limits: str
    needs: str | None = Field(description="The command that installs what it takes beyond the product.")
    configured: bool
    reachable: bool
    sentence: str
    hint: str | None


class IbStatus(BaseModel):
    """Where Interactive Brokers is looked for, and how often it was asked."""

    address: str
    client_id: int
    configured: bool
    reachable: bool
    sentence: str
    hint: str | None
    requests: int = Field(description="Requests of the last ten minutes, of all loads of this home.")
    requests_allowed: int


class IbTest(BaseModel):
    """What to ask for beside the connection."""

    symbol: Annotated[str, Field(max_length=20)] | None = None


@router.get("/providers")
async def list_providers(workspace: TheWorkspace) -> Answer[list[ProviderSummary]]:
    """List where bars can come from: what each needs, allows, and whether it could be asked now."""
    classes = await asyncio.to_thread(lambda: {name: PROVIDERS.get(name) for name in PROVIDERS.names()})
    standings = await asyncio.gather(*(asyncio.to_thread(cls.standing, workspace.settings) for cls in classes.values()))
    return Answer(data=[
        ProviderSummary(
            name=name, description=(cls.__doc__ or "").splitlines()[0], options=list(cls.model_fields), limits=cls.limits,
            needs=cls.install(), **asdict(standing),
        )
        for (name, cls), standing in zip(classes.items(), standings, strict=True)
    ])  # fmt: skip


@router.get("/ib")
async def ib_status(workspace: TheWorkspace) -> Answer[IbStatus]:
    """Say whether something listens where TWS or Gateway should, and how many requests its limit counts now."""
    return Answer(data=await asyncio.to_thread(_status, workspace.settings))


@router.post("/ib/test")
async def ib_test(workspace: TheWorkspace, wanted: IbTest) -> Answer[Check]:
    """Ask TWS or Gateway who it is, and for the earliest bar of a symbol; what is wrong stands in the answer."""
    symbol = canonical(wanted.symbol) if wanted.symbol else None
    return Answer(data=await check(workspace.settings, symbol))


def _status(settings: Settings) -> IbStatus:
    standing: Standing = Ib.standing(settings)
    return IbStatus(
        address=f"{settings.ib_host}:{settings.ib_port}", client_id=settings.ib_client_id, requests=Ib.memory(settings).count(),
        requests_allowed=Ib.rules[0].most, **asdict(standing),
    )  # fmt: skip
