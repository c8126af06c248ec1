"""Addresses of the pages."""

from django.urls import path

from . import views
from .api.v1 import api

urlpatterns = [
    path("", views.home, name="home"),
    path("uploads/<uuid:upload_id>/", views.upload_detail, name="upload"),
    path("uploads/<uuid:upload_id>/image", views.upload_image, name="upload_image"),
    path("uploads/<uuid:upload_id>/delete", views.upload_delete, name="upload_delete"),
    path("history/", views.history, name="history"),
    path("api/v1/", api.urls),
    path("healthz", views.healthz, name="healthz"),
    path("readyz", views.readyz, name="readyz"),
]
