"""Root addresses."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("", include("classifier.urls")),
]

handler500 = "classifier.http.middleware.handler500"
